//! Whether one of two samples tends to be larger: the test of Mann and Whitney, which asks for no shape of either.

/// What came of comparing.
#[derive(Debug, PartialEq)]
pub struct Compared {
    /// In how many of all pairs the first is larger; equal ones count half.
    pub first_is_larger: f64,
    /// How probable it is to see that much of a difference, or more, in either direction, where there is none.
    pub probability: f64,
}

/// Compares two samples, by the normal distribution that the test has for many, with ties. None says nothing.
pub fn compare(first: &[u32], second: &[u32]) -> Option<Compared> {
    let (n, m) = (first.len() as f64, second.len() as f64);
    let of_first = first.iter().map(|value| (*value, true));
    let mut all: Vec<(u32, bool)> = of_first.chain(second.iter().map(|value| (*value, false))).collect();
    all.sort_unstable();
    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|(one, _), (other, _)| one == other) {
        let count = equal.len() as f64;
        let ours = equal.iter().filter(|(_, is_first)| *is_first).count() as f64;
        rank_sum += ours * (before + (count + 1.0) / 2.0);
        ties += count.powi(3) - count;
        before += count;
    }
    let larger = rank_sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)));
    let away = ((larger - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    let probability = libm::erfc(away / std::f64::consts::SQRT_2);
    (n * m > 0.0 && probability.is_finite())
        .then_some(Compared { first_is_larger: larger / (n * m), probability })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &[u32], second: &[u32], larger: f64, probability: f64) {
        let compared = compare(first, second).unwrap();
        assert!((compared.first_is_larger - larger).abs() < 1e-9, "{compared:?}");
        assert!((compared.probability - probability).abs() < 1e-6, "{compared:?}");
    }

    #[test]
    fn samples_are_compared() {
        // The example in the documentation of `scipy.stats.mannwhitneyu`.
        check(&[19, 22, 16, 29, 24], &[20, 11, 17, 12], 0.85, 0.111_346_886_5);
        // With ties, by hand: U = 4.5, and a variance of 16 / 12 · (9 − 66 / 56).
        check(&[1, 2, 2, 3], &[2, 2, 3, 4], 4.5 / 16.0, 0.352_896_701_5);
    }

    #[test]
    fn what_is_the_same_differs_in_nothing() {
        let same: Vec<u32> = (0..100).collect();
        assert_eq!(compare(&same, &same), Some(Compared { first_is_larger: 0.5, probability: 1.0 }));
        assert_eq!(compare(&[], &same), None);
        assert_eq!(compare(&[1, 1], &[1, 1]), None, "where all is equal there is nothing to say");
    }
}
