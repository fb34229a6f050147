//! What every page is held to, however it is looked at.

use std::path::PathBuf;

use serde_json::Value;

use crate::Browser;

/// Where axe-core is.
const RULES: &str = "TRELLIS_PAGE_RULES";
/// How many of its rules speak of any page of ours, at least.
const RULES_MIN: u64 = 10;

/// Looks at the page on a desk and on a phone, in the light and in the dark, and keeps a picture of each.
pub async fn look_at(browser: &Browser, name: &str) {
    check_origins(browser, name, &[]).await;
    look_at_all_of(browser, name).await;
}

/// The same of a page that loads something from this origin, too.
pub async fn look_at_page_with(browser: &Browser, name: &str, origin: &str) {
    check_origins(browser, name, &[origin]).await;
    look_at_all_of(browser, name).await;
}

async fn look_at_all_of(browser: &Browser, name: &str) {
    check_structure(browser, name).await;
    for (look, is_dark) in [("light", false), ("dark", true)] {
        browser.dark(is_dark).await;
        check_contrast(browser, &format!("{name} {look}")).await;
        for (device, width, height) in [("desk", 1100, 900), ("phone", 320, 640)] {
            browser.size(width, height).await;
            check_width(browser, &format!("{name} {device}"), width).await;
            check_rules(browser, &format!("{name} {device} {look}")).await;
            browser.picture(&format!("{name}-{device}-{look}")).await;
        }
    }
    browser.dark(false).await;
    browser.size(1100, 900).await;
}

/// It loads from its own origin, and from these.
async fn check_origins(browser: &Browser, page: &str, others: &[&str]) {
    let loaded = browser
        .run("return [location, ...performance.getEntriesByType('resource').map(({ name }) => new URL(name))].map(({ origin }) => origin)")
        .await;
    let mut origins: Vec<&str> =
        loaded.as_array().unwrap().iter().map(|origin| origin.as_str().unwrap()).collect();
    origins.sort_unstable();
    origins.dedup();
    let mut expected: Vec<&str> = others.iter().copied().chain([loaded[0].as_str().unwrap()]).collect();
    expected.sort_unstable();
    assert_eq!(origins, expected, "{page}");
}

/// How much a page may take, with all that it brings along, and in how many requests.
const BYTES_MAX: u64 = 60 * 1024;
const REQUESTS_MAX: usize = 3;

/// The page was just opened, and is light: uncompressed, with scripts and style. An icon does not count: a browser asks for it once, when
/// it likes, and no page waits for it.
pub async fn check_weight(browser: &Browser, page: &str) {
    let weight = browser
        .run(
            "const icon = document.querySelector('link[rel=icon]')?.href;
             const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                 .filter(({ initiatorType, name }) => initiatorType !== 'fetch' && name !== icon);
             return [all.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0), all.map(({ name }) => name)];",
        )
        .await;
    let (bytes, requests) = (weight[0].as_u64().unwrap(), weight[1].as_array().unwrap());
    println!("{page}: {bytes} bytes in {} requests", requests.len());
    assert!(bytes <= BYTES_MAX && requests.len() <= REQUESTS_MAX, "{page}: {bytes} bytes in {requests:?}");
}

/// It is as axe-core has it, which knows the rules of WCAG, and more besides. The driver brings it along: the page itself could not.
/// It takes turns with the page, so it needs scripts; what is the same without them was looked at with them.
async fn check_rules(browser: &Browser, page: &str) {
    if !browser.has_scripts() {
        return;
    }
    let folder = std::env::var_os(RULES).expect("TRELLIS_PAGE_RULES: `cargo xtask test` sets it");
    if browser.run("return typeof axe").await == "undefined" {
        let file = PathBuf::from(folder).join("node_modules/axe-core/axe.min.js");
        browser.run(&std::fs::read_to_string(file).unwrap()).await;
    }
    let found = browser
        .run(
            "document.getAnimations().forEach((animation) => animation.finish());
             const said = ({ id, help, nodes }) =>
                 [id, help, nodes.map(({ html, failureSummary }) => [html, failureSummary])];
             return axe.run(document, { preload: false, resultTypes: ['violations'] })
                 .then(({ passes, violations }) => [passes.length, violations.map(said)]);",
        )
        .await;
    assert_eq!(found[1], Value::Array(vec![]), "{page}");
    assert!(found[0].as_u64().unwrap() >= RULES_MIN, "{page}: only {} rules applied", found[0]);
}

/// One document, in a language, with its parts named, and nothing that cannot be told by its name.
pub async fn check_structure(browser: &Browser, page: &str) {
    let complaints = browser
        .run(
            r#"
            const all = (css) => [...document.querySelectorAll(css)];
            const bad = [];
            const expect = (is, what) => { if (!is) bad.push(what); };
            expect(document.documentElement.lang, 'the language');
            expect(document.title.trim(), 'a title');
            for (const part of ['main', 'body > header', 'body > footer', 'h1']) {
                expect(all(part).length === 1, `one ${part}`);
            }
            expect(document.querySelector('a.skip')?.hash === '#main', 'a way past the header');
            const ids = all('[id]').map((element) => element.id);
            expect(new Set(ids).size === ids.length, 'ids that are there once');
            for (const field of all('input:not([type=hidden]), textarea')) {
                expect(field.labels.length === 1 && field.labels[0].textContent.trim(), `a label of ${field.name}`);
                for (const id of (field.getAttribute('aria-describedby') ?? '').split(' ')) {
                    expect(document.getElementById(id), `the description ${id}`);
                }
            }
            for (const named of all('a, button')) expect(named.textContent.trim(), `a name of ${named.outerHTML}`);
            for (const image of all('img')) expect(image.hasAttribute('alt'), `the words for ${image.src}`);
            const levels = all('h1, h2, h3, h4, h5, h6').map((heading) => Number(heading.localName[1]));
            levels.forEach((level, at) => expect(level <= (levels[at - 1] ?? 0) + 1, `heading ${at + 1} in its place`));
            for (const said of all('article.post, header.post, .latest li, .said')) expect(said.dir === 'auto', 'a direction of its own');
            for (const time of all('time')) expect(!Number.isNaN(Date.parse(time.dateTime)), `an instant: ${time.dateTime}`);
            for (const target of all('button, .pager a, .brand, input:not([type=hidden])')) {
                const { width, height } = target.getBoundingClientRect();
                expect(width >= 40 && height >= 40, `room for a finger on ${target.textContent || target.name}`);
            }
            return bad;
            "#,
        )
        .await;
    assert_eq!(complaints, Value::Array(vec![]), "{page}");
}

/// Every text stands out from what is behind it: by 4.5 to 1, or 3 to 1 if it is large. Borders of fields by 3 to 1.
pub async fn check_contrast(browser: &Browser, page: &str) {
    let complaints = browser
        .run(
            r#"
            const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            const rgba = (color) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = color;
                canvas.fillRect(0, 0, 1, 1);
                return canvas.getImageData(0, 0, 1, 1).data;
            };
            const light = ([r, g, b]) => {
                const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
                return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
            };
            const contrast = (one, two) => {
                const [dark, bright] = [light(one), light(two)].sort((a, b) => a - b);
                return (bright + 0.05) / (dark + 0.05);
            };
            const behind = (element) => {
                for (let at = element; at; at = at.parentElement) {
                    const color = rgba(getComputedStyle(at).backgroundColor);
                    if (color[3] === 255) return color;
                }
                return [255, 255, 255];
            };
            document.getAnimations().forEach((animation) => animation.finish());
            const bad = [];
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            let seen = 0;
            while (texts.nextNode()) {
                const element = texts.currentNode.parentElement;
                if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
                const style = getComputedStyle(element);
                const size = parseFloat(style.fontSize);
                const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
                const ratio = contrast(rgba(style.color), behind(element));
                seen += 1;
                if (ratio < (large ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)}: ${texts.currentNode.data}`);
            }
            for (const field of document.querySelectorAll('input:not([type=hidden]), textarea')) {
                const ratio = contrast(rgba(getComputedStyle(field).borderTopColor), behind(field.parentElement));
                if (ratio < 3) bad.push(`${ratio.toFixed(2)}: the border of ${field.name}`);
            }
            if (seen < 3) bad.push('no text');
            return bad;
            "#,
        )
        .await;
    assert_eq!(complaints, Value::Array(vec![]), "{page}");
}

/// Nothing is wider than the screen.
async fn check_width(browser: &Browser, page: &str, width: u32) {
    let wide = browser
        .run(
            r#"
            const { clientWidth, scrollWidth } = document.scrollingElement;
            const wide = [...document.querySelectorAll('body *')].filter((element) =>
                element.getBoundingClientRect().right > clientWidth + 0.5).map((element) => element.outerHTML);
            return [innerWidth, scrollWidth - clientWidth, wide];
            "#,
        )
        .await;
    assert_eq!(wide, serde_json::json!([width, 0, []]), "{page}");
}
