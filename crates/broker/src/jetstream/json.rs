//! Reads JSON requests strictly, and words what is wrong with them as nats-server does: its clients match on it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::date;
use super::errors::{self, ApiError};

/// The types that numbers are read into, by nats-server's names.
const NUMBERS: [&str; 5] = ["int", "int32", "int64", "uint64", "time.Duration"];

/// A JSON object whose fields are taken one by one. What is wrong is remembered, first come first told, and `finish` tells it.
#[derive(Debug)]
pub(crate) struct Object {
    /// What nats-server calls the field's owner in an error, such as `CreateConsumerRequest.config`.
    path: String,
    fields: Map<String, Value>,
    problem: Option<String>,
}

impl Object {
    /// Reads a request. An empty payload is an object without fields.
    pub fn parse(payload: &[u8], type_name: &str) -> Result<Object, ApiError> {
        if payload.iter().all(|byte| byte.is_ascii_whitespace()) {
            return Ok(Object::new(type_name, Map::new()));
        }
        match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) => Ok(Object::new(type_name, fields)),
            Ok(Value::Null) => Ok(Object::new(type_name, Map::new())),
            Ok(other) => {
                let kind = kind(&other);
                let reason =
                    format!("json: cannot unmarshal {kind} into Go value of type server.{type_name}");
                Err(errors::invalid_json(reason))
            }
            Err(_) => Err(errors::invalid_json(syntax::problem(payload))),
        }
    }

    fn new(path: &str, fields: Map<String, Value>) -> Object {
        Object { path: path.to_owned(), fields, problem: None }
    }

    /// Says what was wrong, or that a field was left over.
    pub fn finish(mut self) -> Result<(), ApiError> {
        if let Some(name) = self.fields.keys().next() {
            self.problem.get_or_insert(format!("json: unknown field \"{name}\""));
        }
        self.finish_leniently()
    }

    /// Says what was wrong, whatever else there is.
    pub fn finish_leniently(self) -> Result<(), ApiError> {
        self.problem.map_or(Ok(()), |problem| Err(errors::invalid_json(problem)))
    }

    pub fn string(&mut self, name: &str) -> String {
        self.take(name, "string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    pub fn bool(&mut self, name: &str) -> bool {
        self.take(name, "bool", |value| value.as_bool())
    }

    pub fn i64(&mut self, name: &str) -> i64 {
        self.take(name, "int64", |value| value.as_i64())
    }

    pub fn int(&mut self, name: &str) -> i64 {
        self.take(name, "int", |value| value.as_i64())
    }

    pub fn i32(&mut self, name: &str) -> i32 {
        self.take(name, "int32", |value| i32::try_from(value.as_i64()?).ok())
    }

    pub fn u64(&mut self, name: &str) -> u64 {
        self.take(name, "uint64", |value| value.as_u64())
    }

    /// A duration in nanoseconds.
    pub fn nanos(&mut self, name: &str) -> i64 {
        self.take(name, "time.Duration", |value| value.as_i64())
    }

    pub fn all_nanos(&mut self, name: &str) -> Vec<i64> {
        self.take(name, "[]time.Duration", |value| value.as_array()?.iter().map(Value::as_i64).collect())
    }

    pub fn strings(&mut self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.take(name, "[]string", |value| value.as_array()?.iter().map(text).collect())
    }

    pub fn string_map(&mut self, name: &str) -> BTreeMap<String, String> {
        let fields = self.take(name, "map[string]string", |value| match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        let mut part = Object::new(&format!("{}.{name}", self.path), fields);
        let names: Vec<String> = part.fields.keys().cloned().collect();
        let map = names.into_iter().map(|name| (name.clone(), part.string(&name))).collect();
        self.absorb(part);
        map
    }

    pub fn date(&mut self, name: &str) -> Option<i64> {
        let value = self.present(name)?;
        let Some(text) = value.as_str() else {
            self.fail("Time.UnmarshalJSON: input is not a JSON string".to_owned());
            return None;
        };
        let date = date::parse(text);
        if date.is_none() {
            const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
            self.fail(format!(
                "parsing time \"{text}\" as \"{LAYOUT}\": cannot parse \"{text}\" as \"2006\""
            ));
        }
        date
    }

    /// One of a set of words; the first is what an absent field means.
    pub fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)], default: T) -> T {
        self.one_of_or(name, words, default, |value| {
            let quoted = Value::String(value.to_string());
            format!("can not unmarshal {quoted}")
        })
    }

    /// The same, where nats-server has other words for what it does not know.
    pub fn one_of_or<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        default: T,
        complain: impl FnOnce(&Value) -> String,
    ) -> T {
        let Some(value) = self.present(name) else { return default };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, meaning)) = found {
            return *meaning;
        }
        self.fail(complain(&value));
        default
    }

    /// Whether a field is there and not the zero value of its type: used for settings that this broker lacks.
    pub fn is_set(&mut self, name: &str) -> bool {
        match self.present(name) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(values)) => !values.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(_) => true,
        }
    }

    pub fn object(&mut self, name: &str) -> Object {
        let path = format!("{}.{name}", self.path);
        let type_name = match name {
            "config" => "server.ConsumerConfig",
            _ => "server.StreamConsumerLimits",
        };
        let fields = self.take(name, type_name, |value| match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        Object { path, fields, problem: None }
    }

    /// Takes over what was wrong with a part, and what was left over in it.
    pub fn absorb(&mut self, part: Object) {
        if let Err(error) = part.finish() {
            let reason = error.description.trim_start_matches("invalid JSON: ").to_owned();
            self.fail(reason);
        }
    }

    fn present(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn take<T: Default>(&mut self, name: &str, type_name: &str, read: impl FnOnce(Value) -> Option<T>) -> T {
        let Some(value) = self.present(name) else { return T::default() };
        let kind = match &value {
            Value::Number(number) if NUMBERS.contains(&type_name) => {
                format!("number {number}")
            }
            other => kind(other).to_owned(),
        };
        read(value).unwrap_or_else(|| {
            let field = format!("{}.{name}", self.path);
            self.fail(format!(
                "json: cannot unmarshal {kind} into Go struct field {field} of type {type_name}"
            ));
            T::default()
        })
    }

    fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

/// Reads an object as Go does where it is not strict: unknown fields are ignored, and `null` is as good as nothing.
pub(crate) fn read_leniently<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(json)?;
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(value)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Finds the first syntax error of a text and words it as Go's JSON scanner does.
mod syntax {
    const DEPTH_MAX: usize = 127;

    enum Problem {
        UnexpectedEnd,
        TooDeep,
        BadCharacter { at: usize, context: String },
        BadEscape { end: usize, sequence: String },
    }

    struct Scanner<'a> {
        text: &'a [u8],
        at: usize,
    }

    type Scanned = Result<(), Problem>;

    pub(super) fn problem(text: &[u8]) -> String {
        let mut scanner = Scanner { text, at: 0 };
        let mut scanned = scanner.value(0);
        if scanned.is_ok() {
            scanner.white_space();
            if scanner.at < text.len() {
                scanned = scanner.value(0);
            }
        }
        match scanned {
            Ok(()) => "invalid UTF-8 or number out of range".to_owned(),
            Err(Problem::UnexpectedEnd) => "unexpected EOF".to_owned(),
            Err(Problem::TooDeep) => "exceeded max depth".to_owned(),
            Err(Problem::BadEscape { end, sequence }) => {
                format!("invalid escape sequence `{sequence}` in string at offset {end}")
            }
            Err(Problem::BadCharacter { at, context }) => {
                let character = quote(text.get(at).copied().unwrap_or_default());
                format!("invalid character {character} {context} at offset {}", at + 1)
            }
        }
    }

    fn quote(byte: u8) -> String {
        match byte {
            b'\'' => r"'\''".to_owned(),
            b'\n' => r"'\n'".to_owned(),
            b'\r' => r"'\r'".to_owned(),
            b'\t' => r"'\t'".to_owned(),
            b'\\' => r"'\\'".to_owned(),
            b' '..=b'~' => format!("'{}'", char::from(byte)),
            0x80..=0xff => format!("'{}'", char::from(byte)),
            _ => format!("'\\x{byte:02x}'"),
        }
    }

    impl Scanner<'_> {
        fn peek(&self) -> Option<u8> {
            self.text.get(self.at).copied()
        }

        fn white_space(&mut self) {
            while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            }
        }

        /// Takes the next byte that is not white space.
        fn next(&mut self) -> Result<u8, Problem> {
            self.white_space();
            self.take()
        }

        fn take(&mut self) -> Result<u8, Problem> {
            let byte = self.peek().ok_or(Problem::UnexpectedEnd)?;
            self.at += 1;
            Ok(byte)
        }

        /// Complains about the byte taken last.
        fn bad(&self, context: impl Into<String>) -> Scanned {
            Err(Problem::BadCharacter { at: self.at.saturating_sub(1), context: context.into() })
        }

        fn value(&mut self, depth: usize) -> Scanned {
            if depth > DEPTH_MAX {
                return Err(Problem::TooDeep);
            }
            match self.next()? {
                b'{' => self.object(depth),
                b'[' => self.array(depth),
                b'"' => self.string(),
                b'-' => match self.take()? {
                    first @ b'0'..=b'9' => self.number(first),
                    _ => self.bad("in numeric literal"),
                },
                first @ b'0'..=b'9' => self.number(first),
                b't' => self.word("true"),
                b'f' => self.word("false"),
                b'n' => self.word("null"),
                _ => self.bad("looking for beginning of value"),
            }
        }

        fn object(&mut self, depth: usize) -> Scanned {
            let mut first = true;
            loop {
                match self.next()? {
                    b'}' if first => return Ok(()),
                    b'"' => self.string()?,
                    _ => return self.bad("looking for beginning of object key string"),
                }
                first = false;
                if self.next()? != b':' {
                    return self.bad("after object key");
                }
                self.value(depth + 1)?;
                match self.next()? {
                    b',' => {}
                    b'}' => return Ok(()),
                    _ => return self.bad("after object key:value pair"),
                }
            }
        }

        fn array(&mut self, depth: usize) -> Scanned {
            self.white_space();
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(());
            }
            loop {
                self.value(depth + 1)?;
                match self.next()? {
                    b',' => {}
                    b']' => return Ok(()),
                    _ => return self.bad("after array element"),
                }
            }
        }

        fn string(&mut self) -> Scanned {
            loop {
                match self.take()? {
                    b'"' => return Ok(()),
                    b'\\' => match self.take()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                        b'u' => self.hex()?,
                        _ => return self.bad_escape(2),
                    },
                    0..0x20 => return self.bad("in string"),
                    _ => {}
                }
            }
        }

        fn hex(&mut self) -> Scanned {
            let mut good = true;
            for _ in 0..4 {
                good &= self.take()?.is_ascii_hexdigit();
            }
            if good { Ok(()) } else { self.bad_escape(6) }
        }

        /// Complains about the escape sequence taken last.
        fn bad_escape(&self, len: usize) -> Scanned {
            let sequence = self.text.get(self.at.saturating_sub(len)..self.at).unwrap_or_default();
            Err(Problem::BadEscape { end: self.at, sequence: String::from_utf8_lossy(sequence).into_owned() })
        }

        fn number(&mut self, first: u8) -> Scanned {
            if first != b'0' {
                self.digits();
            }
            if self.peek() == Some(b'.') {
                self.at += 1;
                if !self.take()?.is_ascii_digit() {
                    return self.bad("in numeric literal");
                }
                self.digits();
            }
            if matches!(self.peek(), Some(b'e' | b'E')) {
                self.at += 1;
                let mut byte = self.take()?;
                if matches!(byte, b'+' | b'-') {
                    byte = self.take()?;
                }
                if !byte.is_ascii_digit() {
                    return self.bad("in numeric literal");
                }
                self.digits();
            }
            Ok(())
        }

        fn digits(&mut self) {
            while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
        }

        fn word(&mut self, word: &str) -> Scanned {
            for expected in word.bytes().skip(1) {
                if self.take()? != expected {
                    let expected = char::from(expected);
                    return self.bad(format!("in literal {word} (expecting '{expected}')"));
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, expected: &str) {
        let mut object = match Object::parse(payload.as_bytes(), "StreamConfigRequest") {
            Ok(object) => object,
            Err(error) => {
                return assert_eq!(error.description, format!("invalid JSON: {expected}"), "{payload}");
            }
        };
        object.string("name");
        object.i64("max_msgs");
        object.one_of("retention", &[("limits", ())], ());
        let error = object.finish().unwrap_err();
        assert_eq!(error.description, format!("invalid JSON: {expected}"), "{payload}");
    }

    #[test]
    fn problems_are_worded_as_nats_server_does() {
        check("{bad", "invalid character 'b' looking for beginning of object key string at offset 2");
        check(r#"{"name" 1}"#, "invalid character '1' after object key at offset 9");
        check(r#"{"name":"x" 1}"#, "invalid character '1' after object key:value pair at offset 13");
        check(r#"{"name":tru}"#, "invalid character '}' in literal true (expecting 'e') at offset 12");
        check(r#"{"name":"#, "unexpected EOF");
        check("[1}", "invalid character '}' after array element at offset 3");
        check("nope", "invalid character 'o' in literal null (expecting 'u') at offset 2");
        check("[]", "json: cannot unmarshal array into Go value of type server.StreamConfigRequest");
        check(r#"{"foo":1}"#, r#"json: unknown field "foo""#);
        check(
            r#"{"name":1}"#,
            "json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string",
        );
        check(
            r#"{"max_msgs":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field StreamConfigRequest.max_msgs of type int64",
        );
        check(r#"{"retention":"zzz"}"#, r#"can not unmarshal "\"zzz\"""#);
    }

    #[test]
    fn nesting_is_bounded() {
        check(&"[".repeat(100_000), "exceeded max depth");
    }

    #[test]
    fn empty_requests_have_no_fields() {
        for payload in ["", " \r\n", "null", "{}"] {
            assert!(Object::parse(payload.as_bytes(), "X").unwrap().finish().is_ok());
        }
    }
}
