//! A browser with one window.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::error::NewSessionError;
use fantoccini::wd::{Capabilities, TimeoutConfiguration, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use system::PATIENCE;
use tempfile::TempDir;

/// Where the programs are, unless they are where the search path says.
const DRIVER: &str = "TRELLIS_CHROMEDRIVER";
const BROWSER: &str = "TRELLIS_CHROMIUM";

/// Never more than one machine's own pages: nothing is looked up, updated or reported.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
];

/// How often to look whether something has come.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a browser that was killed may take to be gone.
const LEAVING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

#[derive(Debug)]
pub struct Browser {
    client: Client,
    scripts: Scripts,
    driver: Child,
    browser: Option<Pid>,
    /// For whatever the browser and its driver write, for as long as they run.
    _folder: TempDir,
}

impl Browser {
    /// A new browser, which nobody has used before.
    pub async fn start(scripts: Scripts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new(std::env::var_os(DRIVER).unwrap_or_else(|| "chromedriver".into()))
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: `cargo xtask test` sees to it");
        let port = port_of(&mut driver);
        let client = connect(port, scripts, &folder).await;
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                driver.kill().ok();
                driver.wait().ok();
                panic!("the browser does not start: {error}");
            }
        };
        let process = client.capabilities().and_then(|known| known.get("goog:processID")?.as_i64());
        let browser = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let timeouts = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), None);
        client.update_timeouts(timeouts).await.unwrap();
        let browser = Self { client, scripts, driver, browser, _folder: folder };
        browser.size(1100, 900).await;
        browser
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.path().to_owned()
    }

    pub async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }

    /// Sees what people see in a window of this size.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub async fn dark(&self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The one element that is found, as soon as it is there.
    pub async fn find(&self, css: &str) -> Element {
        self.eventually(css, async || self.client.find(Locator::Css(css)).await.ok()).await
    }

    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    /// The text that an element shows now; none if there is no such element.
    pub async fn text(&self, css: &str) -> Option<String> {
        self.client.find(Locator::Css(css)).await.ok()?.text().await.ok()
    }

    /// Waits until an element shows this, somewhere in it.
    pub async fn shows(&self, css: &str, words: &str) {
        let what = format!("{css} shows {words:?}");
        self.eventually(&what, async || self.text(css).await?.contains(words).then_some(())).await;
    }

    /// The same, for a page that has to be loaded again to see what is new.
    pub async fn shows_when_reloaded(&self, css: &str, words: &str) {
        let what = format!("{css} shows {words:?}");
        let look = async || {
            self.reload().await;
            self.text(css).await?.contains(words).then_some(())
        };
        self.eventually(&what, look).await;
    }

    pub async fn fill(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.unwrap();
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Types into the field of the form that is there and sends it, and waits for the page that follows.
    pub async fn send(&self, text: &str) {
        self.fill("#text", text).await;
        self.press("form:has(#text) button").await;
    }

    /// Clicks on what leads to another page, and waits for that.
    pub async fn press(&self, css: &str) {
        let pressed = self.find(css).await;
        pressed.click().await.unwrap();
        // An element of a page that is no more cannot be asked for anything.
        self.eventually("the next page", async || pressed.tag_name().await.is_err().then_some(())).await;
    }

    /// Twice, as fast as a finger can.
    pub async fn double_click(&self, css: &str) {
        let element = self.find(css).await;
        let press = || {
            [
                PointerAction::Down { button: MOUSE_BUTTON_LEFT },
                PointerAction::Up { button: MOUSE_BUTTON_LEFT },
            ]
        };
        let to = PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 };
        let actions = MouseActions::new("mouse".to_owned());
        let actions = [to].into_iter().chain(press()).chain(press()).fold(actions, MouseActions::then);
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub async fn keys(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    pub async fn value(&self, css: &str) -> String {
        self.find(css).await.prop("value").await.unwrap().unwrap_or_default()
    }

    /// Whether what a page says it will do later is done.
    pub fn has_scripts(&self) -> bool {
        self.scripts == Scripts::On
    }

    /// Evaluates the body of a function.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Keeps a picture of the whole page.
    pub async fn picture(&self, name: &str) {
        self.keep(&format!("{name}.png"), json!({ "format": "png", "captureBeyondViewport": true })).await;
    }

    /// Keeps a picture of what the window shows, for others to load. Returns how many bytes it has.
    pub async fn small_picture(&self, name: &str) -> usize {
        self.keep(&format!("{name}.webp"), json!({ "format": "webp", "quality": 80 })).await
    }

    async fn keep(&self, name: &str, asked: Value) -> usize {
        let taken = self.devtools("Page.captureScreenshot", asked).await;
        let picture = BASE64.decode(taken["data"].as_str().unwrap()).unwrap();
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), &picture).unwrap();
        picture.len()
    }

    /// Asks again until there is an answer.
    pub async fn eventually<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            if Instant::now() >= deadline {
                let page = self.client.source().await.unwrap_or_default();
                panic!("not within {PATIENCE:?}: {what}; the page is\n{page}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = DevTools { command: command.to_owned(), parameters };
        self.client.issue_cmd(command).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser first: without its driver it would live on.
        if let Some(browser) = self.browser {
            kill_process(browser, Signal::KILL).ok();
            let deadline = Instant::now() + LEAVING;
            // While it is there, it writes into its folder.
            while test_kill_process(browser).is_ok() && Instant::now() < deadline {
                std::thread::sleep(PAUSE);
            }
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// The driver says on which port it listens.
fn port_of(driver: &mut Child) -> u16 {
    let mut said = String::new();
    let mut lines = BufReader::new(driver.stdout.take().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        let last = said.lines().last().unwrap_or_default();
        if let Some((_, port)) = last.split_once("started successfully on port ") {
            let port = port.trim_end_matches('.').parse().unwrap();
            // Whatever else it says must not hold it up.
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return port;
        }
    }
    panic!("chromedriver ended: {said}");
}

async fn connect(port: u16, scripts: Scripts, folder: &TempDir) -> Result<Client, NewSessionError> {
    let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", folder.path().join("profile").display()));
    let mut options = json!({ "args": arguments });
    if let Some(program) = std::env::var_os(BROWSER) {
        options["binary"] = program.to_str().unwrap().into();
    }
    if scripts == Scripts::Off {
        // What a person sets under "Sites may not use JavaScript".
        options["prefs"] = json!({ "profile.default_content_setting_values.javascript": 2 });
    }
    let wanted = Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)]);
    let mut client = ClientBuilder::new(HttpConnector::new());
    client.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await
}

/// Beside everything else that is built.
fn pictures() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().join("screenshots")
}

/// What WebDriver has no command for, and the driver passes on to the browser.
#[derive(Debug)]
struct DevTools {
    command: String,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (http::Method::POST, Some(body.to_string()))
    }
}
