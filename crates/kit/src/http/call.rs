//! A request on its way to the function that answers it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exchange::{Request, Response};
use super::form;
use super::located::{Awaited, Located};
use super::path::{Path, encoded};
use crate::contract::types::PageRequest;
use crate::cx::Cx;
use crate::json;
use crate::problem::Problem;
use crate::schema::Record;

/// A request that a route matched.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) path: &'a Path,
    /// The names of the parameters of the query that its function takes, with `&` between them.
    pub(crate) query: &'static str,
    pub(crate) params: Vec<(&'static str, &'a str)>,
    pub(crate) cx: &'a Cx,
}

impl Call<'_> {
    /// Who calls and what the call belongs to.
    pub fn cx(&self) -> &Cx {
        self.cx
    }

    /// All of the request as it came in.
    pub fn request(&self) -> &Request {
        self.request
    }

    /// What stands in the path for a word in braces; the empty text if the pattern has no such word.
    pub fn param(&self, name: &str) -> String {
        self.params
            .iter()
            .find(|(known, _)| *known == name)
            .map_or_else(String::new, |(_, value)| (*value).to_owned())
    }

    /// What stands in the query for a name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.path.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same for what may be there once: 400 if it is there again.
    fn query_once(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.path.query.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::malformed(format!("{name} is there twice."))),
            (value, None) => Ok(value.map(|(_, value)| value.as_str())),
        }
    }

    /// What stands in the query for a name, as one of the cases of an enum or as a number of digits alone: 400 for any other word.
    pub fn query_as<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query_once(name)? else { return Ok(None) };
        let digits = text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| T::deserialize(serde_json::Value::from(digits)).ok());
        number
            .map_or_else(|| T::deserialize(serde_json::Value::from(text)), Ok)
            .map(Some)
            .map_err(|error| Problem::malformed(format!("{name}: {error}.")))
    }

    /// The values of the fields of a form: these, each once, and no other.
    pub fn form<const N: usize>(&self, names: [&str; N]) -> Result<[String; N], Problem> {
        self.expect_body("application/x-www-form-urlencoded")?;
        form::fields(&self.request.body, names)
    }

    fn expect_body(&self, media_type: &str) -> Result<(), Problem> {
        let sent = self.request.header("content-type").unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(media_type) {
            Ok(())
        } else {
            Err(Problem::unsupported(format!("Send the body as {media_type}.")))
        }
    }

    /// The JSON of the body as the record that the function takes. What is missing, unknown or of a wrong type is
    /// named.
    pub fn body<T: Record>(&self) -> Result<T, Problem> {
        self.expect_body("application/json")?;
        json::read(&self.request.body)
    }

    /// `?limit=` and `?after=`.
    pub fn page(&self) -> Result<PageRequest, Problem> {
        let number = |text: &str| {
            // `parse` would take a plus sign.
            let limit = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            limit.ok_or_else(|| Problem::malformed("limit must be a number from 1 to 100."))
        };
        let limit = self.query_once("limit")?.map(number).transpose()?;
        Ok(PageRequest { limit, after: self.query_once("after")?.map(str::to_owned) })
    }

    /// 200 with the result as JSON.
    pub fn ok(&self, result: Result<impl Serialize, Problem>) -> Result<Response, Problem> {
        Response::json(200, &result?)
    }

    /// 201 with what is new as JSON, and where it is found: its id below this path.
    pub fn created(&self, result: Result<impl Located, Problem>) -> Result<Response, Problem> {
        self.located(201, &result?)
    }

    /// 202 with what is to be done as JSON, and where it is found what comes of it.
    pub fn accepted(&self, result: Result<impl Located, Problem>) -> Result<Response, Problem> {
        self.located(202, &result?)
    }

    /// The same for whoever does not wait. With `?wait=` it is 201 if by then it is known what has come of it.
    pub fn awaited(&self, result: Result<impl Awaited, Problem>) -> Result<Response, Problem> {
        let result = result?;
        let is_awaited = self.query("wait").is_some();
        self.located(if is_awaited && result.is_settled() { 201 } else { 202 }, &result)
    }

    fn located(&self, status: u16, new: &impl Located) -> Result<Response, Problem> {
        let location = format!("{}/{}", self.path.raw, new.id());
        Ok(Response::json(status, new)?.with("location", location))
    }

    /// 200 with the items as a JSON array, and where the next ones are found, if there are more.
    pub fn list<T: Serialize>(&self, items: &[T], next: Option<&str>) -> Result<Response, Problem> {
        self.part(&items, next)
    }

    /// 200 with JSON that a part of a list is in, and where the next part is found, if there is one.
    pub fn part(&self, body: &impl Serialize, next: Option<&str>) -> Result<Response, Problem> {
        let response = Response::json(200, body)?;
        let Some(next) = next else { return Ok(response) };
        let rest = self.path.query.iter().filter(|(name, _)| name != "after");
        let rest: String =
            rest.map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
        Ok(response.with("link", format!("<{}?after={next}{rest}>; rel=\"next\"", self.path.raw)))
    }
}
