//! Rules, of which the first that speaks of a request decides. What no rule speaks of is denied.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use trellis_kit::http::{self, Path};
use trellis_kit::{FieldError, OPERATOR, Problem, config};

use crate::api::NewPolicy;
use crate::callers::Caller;
use crate::keys::{Key, is_name};
use crate::trellis::gateway::types::{Effect, Rule};

/// The key of the config.
pub const CONFIG: &str = "policy";

const RULES_MAX: usize = 500;
const METHODS_MAX: usize = 16;
const PATH_LEN_MAX: usize = 256;
/// What is at the end of a path that stands for all below, too.
const ALL_BELOW: &str = "/**";

const ANYONE: &str = "anyone";

/// Each route is for whom its service says.
pub fn as_declared() -> Rule {
    Rule {
        who: ANYONE.to_owned(),
        methods: vec!["*".to_owned()],
        path: ALL_BELOW.to_owned(),
        effect: Effect::Declared,
    }
}

/// Rules as they are asked.
#[derive(Debug)]
pub struct Rules(Vec<Line>);

#[derive(Debug)]
struct Line {
    who: Who,
    methods: Vec<String>,
    words: Vec<String>,
    all_below: bool,
    effect: Effect,
}

/// Whom a rule or a route speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Anyone,
    SignedIn,
    Role(String),
    Key(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
    /// Some may, and this caller has not said who they are.
    WhoAreYou,
    /// It is for the route's service to say, which has not said it.
    NotDeclared,
}

impl Rules {
    /// Rules that have been [checked](check).
    pub fn new(rules: &[Rule]) -> Self {
        let line = |rule: &Rule| {
            let (path, all_below) = split(&rule.path);
            let words = http::words(path).map(str::to_owned).collect();
            Some(Line {
                who: Who::read(&rule.who)?,
                methods: rule.methods.clone(),
                words,
                all_below,
                effect: rule.effect,
            })
        };
        Self(rules.iter().filter_map(line).collect())
    }

    /// `declared` is for whom the route is, if its service says so.
    pub fn judge(&self, caller: &Caller, method: &str, path: &Path, declared: Option<&Who>) -> Verdict {
        let concerned = || self.0.iter().filter(|line| line.is_about(method, &path.segments));
        let deciding = concerned().find(|line| line.who.is(caller)).map(|line| line.effect);
        match (deciding, declared) {
            (Some(Effect::Allow), _) => return Verdict::Allowed,
            (Some(Effect::Declared), Some(who)) if who.is(caller) => return Verdict::Allowed,
            (Some(Effect::Declared), None) => return Verdict::NotDeclared,
            _ => {}
        }
        let lets_some_in = |line: &Line| match line.effect {
            Effect::Allow => true,
            Effect::Deny => false,
            Effect::Declared => declared.is_some(),
        };
        if *caller == Caller::Anonymous && concerned().any(lets_some_in) {
            Verdict::WhoAreYou
        } else {
            Verdict::Denied
        }
    }
}

impl Line {
    fn is_about(&self, method: &str, segments: &[String]) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        let fits = |(word, segment): (&String, &String)| http::is_any(word) || word == segment;
        let long_enough =
            segments.len() == self.words.len() || (self.all_below && segments.len() > self.words.len());
        long_enough
            && self.methods.iter().any(|known| known == "*" || known == method)
            && self.words.iter().zip(segments).all(fits)
    }
}

impl Who {
    pub fn read(text: &str) -> Option<Self> {
        let named = |kind| text.strip_prefix(kind).filter(|name| is_name(name)).map(str::to_owned);
        match text {
            ANYONE => Some(Self::Anyone),
            "signed-in" => Some(Self::SignedIn),
            _ => named("role:").map(Self::Role).or_else(|| named("key:").map(Self::Key)),
        }
    }

    fn is(&self, caller: &Caller) -> bool {
        match self {
            Self::Anyone => true,
            Self::SignedIn => *caller != Caller::Anonymous,
            Self::Role(role) => caller.roles().contains(role),
            Self::Key(key) => matches!(caller, Caller::Key { name, .. } if name == key),
        }
    }
}

/// A path without the end that stands for all below, and whether it had one.
fn split(path: &str) -> (&str, bool) {
    match path.strip_suffix(ALL_BELOW) {
        Some("") => ("/", true),
        Some(path) => (path, true),
        None => (path, false),
    }
}

/// What is wrong with a rule, or with all of them.
#[derive(Debug, Error)]
pub enum RuleError {
    #[error("There may be {} rules.", RULES_MAX)]
    TooMany,
    #[error("Must be anyone, signed-in, role:<name> or key:<name>.")]
    Who,
    #[error("Must be methods in capitals, or * alone.")]
    Methods,
    #[error("Must be a path like /posts/{{id}}, or with /** at its end.")]
    Path,
    #[error("Must be without /api: it is the same path with and without.")]
    Api,
    #[error("Contradicts rule {0}, which is about the same.")]
    Contradicts(usize),
    #[error("With these rules, no operator could set others: allow role:operator to PUT /gateway/policy.")]
    NoOperator,
}

/// All that is wrong with rules, each with the field that it is wrong in.
#[derive(Debug)]
pub struct RuleErrors(Vec<(String, RuleError)>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(field, error)| write!(f, " {field}: {error}"))
    }
}

impl From<RuleErrors> for Problem {
    fn from(RuleErrors(all): RuleErrors) -> Self {
        let errors = all.into_iter().map(|(field, error)| FieldError { field, message: error.to_string() });
        Self { errors: errors.collect(), ..Self::invalid("rules", "") }
    }
}

/// Refuses rules that make no sense, that contradict each other, or after which no operator could set other rules.
pub fn check(rules: &[Rule], keys: &[Key]) -> Result<(), RuleErrors> {
    let of_all = |error| RuleErrors(vec![("rules".to_owned(), error)]);
    if rules.len() > RULES_MAX {
        return Err(of_all(RuleError::TooMany));
    }
    let mut errors = Vec::new();
    let mut told: BTreeMap<(Who, &str, String), (usize, Effect)> = BTreeMap::new();
    for (number, rule) in rules.iter().enumerate() {
        let mut wrong = |field: &str, error| errors.push((format!("rules.{number}.{field}"), error));
        let Some(who) = Who::read(&rule.who) else {
            wrong("who", RuleError::Who);
            continue;
        };
        if !are_methods(&rule.methods) {
            wrong("methods", RuleError::Methods);
        }
        let (path, all_below) = split(&rule.path);
        if rule.path.len() > PATH_LEN_MAX || !http::is_pattern(path) {
            wrong("path", RuleError::Path);
        }
        if path == "/api" || path.starts_with("/api/") {
            wrong("path", RuleError::Api);
        }
        let shape = format!("{}{}", http::shape(path), if all_below { ALL_BELOW } else { "" });
        for method in &rule.methods {
            match told.insert((who.clone(), method.as_str(), shape.clone()), (number, rule.effect)) {
                Some((other, effect)) if effect != rule.effect => {
                    wrong("effect", RuleError::Contradicts(other));
                }
                _ => {}
            }
        }
    }
    match errors.is_empty() {
        false => Err(RuleErrors(errors)),
        true if leaves_an_operator(rules, keys) => Ok(()),
        true => Err(of_all(RuleError::NoOperator)),
    }
}

fn are_methods(methods: &[String]) -> bool {
    let is_method = |method: &String| {
        (1..=METHODS_MAX).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    let is_any = matches!(methods, [any] if any == "*");
    is_any || ((1..=METHODS_MAX).contains(&methods.len()) && methods.iter().all(is_method))
}

/// Whether one of the operators that there are could set other rules; if there is none, whether one could who comes.
fn leaves_an_operator(rules: &[Rule], keys: &[Key]) -> bool {
    let rules = Rules::new(rules);
    let is_operator = |key: &&Key| key.roles.iter().any(|role| role == OPERATOR);
    let mut operators: Vec<Caller> = keys.iter().filter(is_operator).map(Caller::of).collect();
    if operators.is_empty() {
        // No name of a key is empty, so that no rule speaks of this one in particular.
        operators.push(Caller::Key {
            name: String::new(),
            called: String::new(),
            roles: vec![OPERATOR.to_owned()],
        });
    }
    let Ok(path) = Path::parse("/gateway/policy") else { return false };
    let declared = Who::Role(OPERATOR.to_owned());
    let may = |operator: &Caller| rules.judge(operator, "PUT", &path, Some(&declared)) == Verdict::Allowed;
    operators.iter().any(may)
}

/// The rules that the config says, or what is wrong with them.
pub fn configured(text: &str, keys: &[Key]) -> Result<Vec<Rule>, String> {
    let NewPolicy { rules }: NewPolicy = config::read(CONFIG, text).map_err(|fault| fault.to_string())?;
    check(&rules, keys).map_err(|errors| format!("config {CONFIG}:{errors}"))?;
    Ok(rules)
}
