//! What a browser sends for a form: `application/x-www-form-urlencoded`, read strictly.

use super::path::percent_decoded;
use crate::problem::Problem;

/// The values of these fields, each of which is there once, and no other.
pub fn fields<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[String; N], Problem> {
    let broken = || Problem::malformed("The body is not a form: it is not properly encoded.");
    let body = std::str::from_utf8(body).map_err(|_| broken())?;
    let mut values = names.map(|_| None);
    for pair in body.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = |text: &str| percent_decoded(&text.replace('+', " ")).ok_or_else(broken);
        let (name, value) = (read(name)?, read(value)?);
        let place =
            names.iter().zip(&mut values).find_map(|(known, place)| (*known == name).then_some(place));
        match place {
            Some(place @ None) => *place = Some(value),
            Some(Some(_)) => return Err(Problem::malformed(format!("The form has the field {name} twice."))),
            None => return Err(Problem::malformed("The form has a field that is unknown here.")),
        }
    }
    let missing = names.iter().zip(&values).find_map(|(name, value)| value.is_none().then_some(name));
    match missing {
        Some(name) => Err(Problem::malformed(format!("The form lacks the field {name}."))),
        None => Ok(values.map(Option::unwrap_or_default)),
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    fn read(body: &str) -> Result<[String; 2], u16> {
        fields(body.as_bytes(), ["title", "key"]).map_err(|problem| problem.status)
    }

    #[test]
    fn forms_that_browsers_send() {
        let rows = [
            ("title=Hello&key=k", "Hello"),
            ("key=k&title=a+b%2Bc", "a b+c"),
            ("title=&key=k", ""),
            ("title&key=k", ""),
            ("title=one%0D%0Atwo&key=k", "one\r\ntwo"),
            ("title=%F0%9F%98%80%26%3D%3C&key=k", "😀&=<"),
            ("title=a=b&key=k", "a=b"),
            ("title=%00&key=k", "\0"),
        ];
        for (body, title) in rows {
            assert_eq!(read(body), Ok([title.to_owned(), "k".to_owned()]), "{body}");
        }
    }

    #[test]
    fn forms_that_browsers_do_not_send() {
        let more = "title=a&key=k&title=b";
        for body in ["", "title=a", "key=k", more, "title=a&key=k&x=y", "title=%&key=k", "title=%f&key=k"] {
            assert_eq!(read(body), Err(400), "{body}");
        }
        for body in ["title=%ff&key=k", "title=%+1&key=k", "ti%74le=a&title=b&key=k", "{\"title\":1}"] {
            assert_eq!(read(body), Err(400), "{body}");
        }
        assert_eq!(fields(b"title=\xff", ["title"]).unwrap_err().status, 400);
    }
}
