//! JSON as text, written from left to right. In a component it takes a fraction of the code that trees of values take.

/// What has been written so far.
#[derive(Debug, Default)]
pub(crate) struct Json(String);

impl Json {
    pub fn finish(self) -> String {
        self.0
    }

    /// An object with what `members` writes into it.
    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.bracketed('{', '}', members);
    }

    pub fn list(&mut self, items: impl FnOnce(&mut Self)) {
        self.bracketed('[', ']', items);
    }

    /// The name of a member, whose value is to follow.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.0.push(':');
        self
    }

    pub fn text(&mut self, text: &str) {
        self.raw(&serde_json::Value::from(text).to_string());
    }

    /// Ends an object that [`raw`](Self::raw) has begun.
    pub fn end_of_raw(&mut self) {
        self.0.push('}');
    }

    /// What is JSON already.
    pub fn raw(&mut self, json: &str) {
        if !self.0.is_empty() && !self.0.ends_with(['{', '[', ':', ',']) {
            self.0.push(',');
        }
        self.0.push_str(json);
    }

    pub fn reference(&mut self, words: &[&str]) {
        let place: Vec<String> = words.iter().map(|word| format!("/{word}")).collect();
        self.raw(&format!(r##"{{"$ref":"#{}"}}"##, place.concat()));
    }

    fn bracketed(&mut self, open: char, close: char, inside: impl FnOnce(&mut Self)) {
        self.raw(open.encode_utf8(&mut [0; 4]));
        inside(self);
        self.0.push(close);
    }
}

/// Documentation as running text.
pub(super) fn running(docs: &str) -> String {
    docs.split_whitespace().collect::<Vec<_>>().join(" ")
}
