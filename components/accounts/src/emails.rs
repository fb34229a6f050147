//! Addresses of email, as far as they tell one account from another. No mail is sent.

use trellis_kit::Problem;

const LEN_MAX: usize = 254;
const LOCAL_LEN_MAX: usize = 64;
const LABEL_LEN_MAX: usize = 63;

const WHY: &str = "Must be an address like name@example.org, in ASCII: without quotes, comments and blanks within it. A domain of \
                   other letters begins with xn--.";

/// The address by which an account is known: without the blanks around it, and in small letters, for nobody tells two
/// people apart by capitals.
pub fn normal(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let is_fine = text.len() <= LEN_MAX
        && text.rsplit_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
    if is_fine { Ok(text.to_ascii_lowercase()) } else { Err(Problem::invalid(field, WHY)) }
}

/// Words of what RFC 5322 calls an atom, with dots between them.
fn is_local(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= LOCAL_LEN_MAX && text.split('.').all(|word| !word.is_empty() && word.bytes().all(is_plain))
}

/// Two labels at least, as names of hosts have them.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_LEN_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('.')
        && text.split('.').all(is_label)
        && text.rsplit('.').next().is_some_and(|last| !is_number(last))
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn an_address_has_one_form() {
        for (text, expected) in [
            ("ann@example.org", "ann@example.org"),
            (" Ann.B@Example.ORG\n", "ann.b@example.org"),
            ("a+b@x-y.example", "a+b@x-y.example"),
            ("o'neill@xn--bcher-kva.example", "o'neill@xn--bcher-kva.example"),
            (
                &format!("{}@{}.org", "a".repeat(64), "b".repeat(63)),
                &format!("{}@{}.org", "a".repeat(64), "b".repeat(63)),
            ),
        ] {
            assert_eq!(normal("email", text).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("a@{}.org", vec!["b".repeat(63); 4].join("."));
        let rows: [&str; 29] = [
            "",
            " ",
            "@",
            "ann",
            "ann@",
            "@example.org",
            "ann@example",
            "ann@example.org.",
            "ann@.example.org",
            "ann@example..org",
            ".ann@example.org",
            "ann.@example.org",
            "a..b@example.org",
            "\"ann\"@example.org",
            "ann b@example.org",
            "ann@exa mple.org",
            "ann@bücher.example",
            "änn@example.org",
            "ann@example.org\u{202e}",
            "ann@[127.0.0.1]",
            "ann@127.0.0.1",
            "ann@-example.org",
            "ann@example-.org",
            "ann@example.org\0",
            "a@b@example.org",
            "ann(x)@example.org",
            "ann@example.org\nbob@example.org",
            &long,
            "ann@exam_ple.org",
        ];
        for text in rows {
            let problem = normal("email", text).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "email"), "{text:?}");
        }
        assert_eq!(normal("email", &format!("{}@example.org", "a".repeat(65))).unwrap_err().status, 422);
    }
}
