//! The application of the repository, running, with what the test wants to be away.

use serde_json::json;
use system::{Client, Embedded, OLAF, Request, Setting, Trellis, configured, eventually};
use tempfile::TempDir;
use trellis_manifest::SUBSCRIPTIONS;

use crate::chromium::Browser;

/// Everybody's.
pub const PASSWORD: &str = "correct horse";

#[derive(Debug)]
pub struct Blog {
    trellis: Trellis,
    web: Client,
    data: TempDir,
}

impl Blog {
    /// Everything runs.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_configured(&[])
    }

    /// Everything runs, with these settings.
    #[track_caller]
    pub fn start_configured(settings: &[Setting<'_>]) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::new(Trellis::start_configured(&data.path().join("data"), settings), data)
    }

    /// Nobody hears messages on these subjects: `svc.posts` is a service that is away, `deliver.moderation` is
    /// moderation that does not come to its work. Only the embedded host knows such an application.
    #[track_caller]
    pub fn start_deaf(to: &[&str]) -> Self {
        Self::start_deaf_on(tempfile::tempdir().unwrap(), "127.0.0.1:0", to)
    }

    #[track_caller]
    fn start_deaf_on(data: TempDir, address: &str, deaf_to: &[&str]) -> Self {
        let mut manifest = configured(&[]);
        for subject in deaf_to {
            let service = subject.rsplit('.').next().unwrap();
            let subscription = format!("{subject}|{service},");
            let mut lists = manifest.settings_mut().filter(|(name, _)| *name == SUBSCRIPTIONS);
            let (_, list) = lists.find(|(_, list)| list.contains(&subscription)).expect("it is subscribed");
            *list = list.replace(&subscription, "");
        }
        let file = data.path().join("wadm.yaml");
        std::fs::write(&file, manifest.to_string()).unwrap();
        let trellis = Embedded::start_at(&data.path().join("data"), address, &[file.to_str().unwrap()]);
        let web = trellis.client();
        eventually("the gateway knows the pages", || {
            let answer = web.send(&Request::new("OPTIONS", "/")).ok()?;
            answer.header("allow")?.contains("POST").then_some(())
        });
        Self::new(trellis.into(), data)
    }

    fn new(trellis: Trellis, data: TempDir) -> Self {
        Self { web: trellis.client(), trellis, data }
    }

    /// Ends it as a power cut would, and starts it again on the same data, at the same address.
    #[track_caller]
    pub fn restart(self) -> Self {
        let Self { trellis, data, .. } = self;
        Self::new(trellis.kill_and_start_again(&data.path().join("data")), data)
    }

    /// The same, and nobody hears messages on these subjects from then on.
    #[track_caller]
    pub fn restart_deaf(self, to: &[&str]) -> Self {
        let Self { trellis, web, data } = self;
        trellis.kill();
        Self::start_deaf_on(data, &web.address().to_string(), to)
    }

    /// Somebody signs up as `<name>@example.org`, and is trusted with these roles.
    #[track_caller]
    pub fn person(&self, name: &str, roles: &[&str]) {
        let new =
            json!({ "email": format!("{name}@example.org"), "password": PASSWORD, "display_name": name });
        let answer = self.web.send(&Request::post("/users/signup", new.to_string())).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.json()["current_user"]["id"].as_str().unwrap().to_owned();
        let roles = json!({ "roles": roles }).to_string();
        let set = Request::put(&format!("/users/{id}/roles"), roles).by(OLAF);
        let answer = self.web.send(&set).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Such a person signs in with a browser, and is sent to this page.
    pub async fn sign_in(&self, browser: &Browser, name: &str, to: &str) {
        browser.open(&self.url(&format!("/signin?to={to}"))).await;
        browser.fill("#email", &format!("{name}@example.org")).await;
        browser.fill("#password", PASSWORD).await;
        browser.press("form:has(#password) button").await;
        browser.shows(".whoever .author", name).await;
    }

    /// What a program is answered that looks at a path and shows a token.
    #[track_caller]
    pub fn status_by(&self, path: &str, token: &str) -> u16 {
        self.web.send(&Request::get(path).by(token)).unwrap().status
    }

    /// The paths of all pages, as web says them.
    #[track_caller]
    pub fn pages(&self) -> Vec<String> {
        let all = self.web.send(&Request::get("/registry?limit=100").by(OLAF)).unwrap().json();
        let web =
            all.as_array().unwrap().iter().find(|service| service["name"] == "web").expect("it is there");
        let routes = web["routes"].as_array().unwrap().iter().filter(|route| route["method"] == "GET");
        let paths = routes.map(|route| route["path"].as_str().unwrap().to_owned());
        // A part of a page, or a file of it.
        paths.filter(|path| !path.ends_with("/live") && !path.starts_with("/assets/")).collect()
    }

    /// Runs a command of `trellis` on it.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) {
        self.trellis.run(arguments);
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.web.address())
    }

    /// Somebody else writes a post. Returns its id.
    #[track_caller]
    pub fn write(&self, title: &str) -> String {
        self.submit("/", "title", title)
    }

    /// Somebody else comments.
    #[track_caller]
    pub fn comment(&self, post: &str, content: &str) {
        self.submit(&format!("/p/{post}"), "content", content);
    }

    /// Waits until no comment among the newest waits any more, and there are so many in all.
    #[track_caller]
    pub fn wait_for_verdicts(&self, post: &str, count: usize) {
        eventually("moderation has read everything", || {
            let page = self.page(&format!("/p/{post}"));
            (page.contains(&format!("{count} comments")) && !page.contains("data-state=\"pending\""))
                .then_some(())
        });
    }

    /// The path of the page that comes after the one at this path.
    #[track_caller]
    pub fn older(&self, path: &str) -> String {
        let page = self.page(path);
        let (_, link) = page.split_once("<a rel=\"next\" href=\"").expect("there are more");
        link.split_once('"').unwrap().0.to_owned()
    }

    #[track_caller]
    fn page(&self, path: &str) -> String {
        let answer = self.web.send(&Request::get(path)).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        String::from_utf8(answer.body).unwrap()
    }

    /// Sends a form and looks at where that leads, as a browser does. Returns the id of what was written.
    #[track_caller]
    fn submit(&self, path: &str, field: &str, text: &str) -> String {
        let location = self.send_form(path, field, text);
        let (location, entry) = location.split_once('#').unwrap();
        assert!(self.page(location).contains(&format!("id=\"{entry}\"")), "what is written shows");
        entry.split_once('-').unwrap().1.to_owned()
    }

    /// Sends a form, and returns where that leads.
    #[track_caller]
    pub fn send_form(&self, path: &str, field: &str, text: &str) -> String {
        let page = self.web.send(&Request::get(path)).unwrap();
        let page = String::from_utf8(page.body).unwrap();
        let (_, key) = page.split_once("name=\"key\" value=\"").unwrap();
        let (key, _) = key.split_once('"').unwrap();
        let form = [("key", key), (field, text)];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded");
        let answer = self.web.send(&Request { body: form.into_bytes(), ..request }).unwrap();
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }
}
