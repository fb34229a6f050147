//! How types from WIT look in JSON.

use crate::Wire;
use crate::schema::{Part, Schema};

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Ticket {
    pub id: String,
    pub sold_to: Option<String>,
    pub state: State,
}

/// A WIT enum.
#[derive(Debug, Clone, PartialEq, Wire)]
#[repr(u8)]
pub enum State {
    /// Nobody has it.
    OnSale,
    SoldOut,
}

/// A WIT variant.
#[derive(Debug, Clone, PartialEq, Wire)]
pub enum Change {
    Sold(Ticket),
    TakenBack,
}

/// What the binding generator makes of `timestamp`.
type Timestamp = String;

/// Of two things, one of which is `next`, and no page. Its name has that of another type in it.
#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TimestampedStep {
    pub next: u64,
    pub at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Way {
    pub steps: Vec<TimestampedStep>,
}

#[track_caller]
fn check<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: T,
    json: &str,
) {
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
}

#[test]
fn names_are_those_of_wit_in_snake_case() {
    let ticket = Ticket { id: "1".to_owned(), sold_to: None, state: State::OnSale };
    check(ticket.clone(), r#"{"id":"1","sold_to":null,"state":"on_sale"}"#);
    check(State::SoldOut, r#""sold_out""#);
    check(Change::TakenBack, r#"{"type":"taken_back"}"#);
    check(Change::Sold(ticket), r#"{"type":"sold","data":{"id":"1","sold_to":null,"state":"on_sale"}}"#);
}

#[test]
fn what_is_optional_may_be_left_out_and_what_is_not_may_not() {
    assert_eq!(serde_json::from_str::<Ticket>(r#"{"id":"1","state":"on_sale"}"#).unwrap().sold_to, None);
    serde_json::from_str::<Ticket>(r#"{"id":"1"}"#).unwrap_err();
    for bad in [r#""OnSale""#, r#"{"on_sale":null}"#, r#"["on_sale"]"#, "0"] {
        serde_json::from_str::<State>(bad).unwrap_err();
    }
    let not_a_word = serde_json::from_str::<State>("null").unwrap_err();
    assert!(not_a_word.is_data(), "it is JSON, of a wrong type: {not_a_word}");
    serde_json::from_str::<Change>(r#"{"type":"sold"}"#).unwrap_err();
    for list in [r#"["sold",{"id":"1","state":"on_sale"}]"#, r#"{"type":"sold","data":["1",null,"on_sale"]}"#]
    {
        serde_json::from_str::<Change>(list).unwrap_err();
    }
}

#[test]
fn a_timestamp_is_known_by_its_whole_name() {
    check(Way { steps: vec![TimestampedStep { next: 2, at: None }] }, r#"{"steps":[{"next":2,"at":null}]}"#);
    let parts = |schema: &'static Schema| match schema {
        Schema::Named(named) => named.parts,
        _ => &[],
    };
    let of = |of: &'static [Part]| of.last().and_then(|part| part.of);
    let steps = of(parts(Way::JSON));
    let Some(Schema::List(step)) = steps else { panic!("{steps:?}") };
    let at = of(parts(step));
    assert!(matches!(at, Some(Schema::Optional(Schema::Timestamp))), "{at:?}");
}
