//! Prices: a number of the smallest unit of a currency, which is never divided.

use iso_currency::Currency;
use trellis_kit::Problem;

use crate::trellis::tickets::types::Money;

/// As much as card payments take.
const AMOUNT_MAX: u64 = 99_999_999;

/// Whether something can be sold for it.
pub fn check(field: &str, price: &Money) -> Result<(), Problem> {
    if !(1..=AMOUNT_MAX).contains(&price.amount) {
        let message =
            format!("It must be a number from 1 to {AMOUNT_MAX}, of the smallest unit of the currency.");
        return Err(Problem::invalid(format!("{field}.amount"), message));
    }
    // Metals, funds, units for tests and what is no longer used have codes, too.
    let is_money = |currency: &Currency| {
        !currency.is_special() && !currency.is_fund() && currency.is_superseded().is_none()
    };
    if Currency::from_code(&price.currency).filter(is_money).is_none() {
        let message = "It must be the code of a currency in ISO 4217, EUR for example.";
        return Err(Problem::invalid(format!("{field}.currency"), message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(amount: u64, currency: &str) -> Option<String> {
        let price = Money { amount, currency: currency.to_owned() };
        check("price", &price).err().map(|problem| problem.errors[0].field.clone())
    }

    #[test]
    fn what_is_money_and_what_is_not() {
        for (amount, currency) in [(1, "EUR"), (AMOUNT_MAX, "JPY"), (1999, "USD"), (1, "KWD")] {
            assert_eq!(field_of(amount, currency), None, "{amount} {currency}");
        }
        for amount in [0, AMOUNT_MAX + 1, 1 << 63, u64::MAX] {
            assert_eq!(field_of(amount, "EUR").as_deref(), Some("price.amount"), "{amount}");
        }
        for currency in
            ["", "eur", "EU", "EURO", " EUR", "EUR ", "€", "ZZZ", "XXX", "XTS", "XAU", "CHE", "HRK", "978"]
        {
            assert_eq!(field_of(1, currency).as_deref(), Some("price.currency"), "{currency:?}");
        }
    }
}
