//! People sign up, sign in, change what is theirs and sign out, with and without scripts; and what that looks like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, PASSWORD, Scripts, look_at};

async fn fill(browser: &Browser, fields: &[(&str, &str)]) {
    for (field, text) in fields {
        browser.find(field).await.clear().await.unwrap();
        browser.fill(field, text).await;
    }
}

/// Sends the form that has this field.
async fn send(browser: &Browser, field: &str) {
    browser.press(&format!("form:has({field}) button")).await;
}

#[tokio::test]
async fn from_signing_up_to_signing_out() {
    for scripts in [Scripts::On, Scripts::Off] {
        let blog = Blog::start();
        let browser = Browser::start(scripts).await;
        let elsewhere = Browser::start(Scripts::On).await;
        browser.open(&blog.url("/")).await;
        browser.press(".whoever a[href='/signup']").await;
        browser.shows("h1", "Sign up").await;
        look_at(&browser, "signup").await;
        fill(&browser, &[("#email", "ann@example.org"), ("#display_name", "Ann"), ("#password", "password")])
            .await;
        send(&browser, "#password").await;
        browser.shows("#password-wrong", "Many use this password").await;
        assert_eq!(browser.value("#email").await, "ann@example.org", "what was typed is kept");
        assert_eq!(browser.value("#password").await, "", "a password is typed again");
        look_at(&browser, "signup-wrong").await;
        fill(&browser, &[("#password", PASSWORD)]).await;
        send(&browser, "#password").await;
        browser.shows(".whoever .author", "Ann").await;
        assert_eq!(browser.path().await, "/");
        assert_eq!(browser.run("return document.cookie").await, "", "scripts do not see the token");

        // Somewhere else: first in vain.
        elsewhere.open(&blog.url("/signin")).await;
        look_at(&elsewhere, "signin").await;
        fill(&elsewhere, &[("#email", "ann@example.org"), ("#password", "wrong horse")]).await;
        send(&elsewhere, "#password").await;
        elsewhere.shows("[role=alert]", "no account with this email and this password").await;
        look_at(&elsewhere, "signin-wrong").await;
        fill(&elsewhere, &[("#password", PASSWORD)]).await;
        send(&elsewhere, "#password").await;
        elsewhere.shows(".whoever .author", "Ann").await;

        browser.click(".whoever .author").await;
        browser.shows(".sessions", "This one").await;
        browser
            .eventually("both are listed", async || {
                browser.reload().await;
                (browser.count(".sessions > li").await == 2).then_some(())
            })
            .await;
        look_at(&browser, "account").await;
        fill(&browser, &[("#display_name", "Ann B.")]).await;
        send(&browser, "#display_name").await;
        browser.shows(".done", "You are called that").await;
        browser.shows(".whoever .author", "Ann B.").await;

        fill(&browser, &[("#current_password", "wrong horse"), ("#new_password", "another horse")]).await;
        send(&browser, "#new_password").await;
        browser.shows("#current_password-wrong", "not the current password").await;
        look_at(&browser, "account-wrong").await;
        fill(&browser, &[("#current_password", PASSWORD), ("#new_password", "another horse")]).await;
        send(&browser, "#new_password").await;
        browser.shows(".done", "You are signed in nowhere else").await;
        assert_eq!(browser.count(".sessions > li").await, 1);
        elsewhere.reload().await;
        elsewhere.shows("body", "Sign in").await;
        elsewhere.open(&blog.url("/")).await;
        elsewhere.shows(".whoever", "Sign up").await;

        browser.press(".whoever button").await;
        browser.shows(".whoever", "Sign in").await;
        browser.back().await;
        browser.reload().await;
        browser.shows("main", "Sign in to see it.").await;
    }
}

#[tokio::test]
async fn one_session_is_ended_from_another() {
    let blog = Blog::start();
    blog.person("ann", &[]);
    let [browser, elsewhere] = [Browser::start(Scripts::Off).await, Browser::start(Scripts::Off).await];
    blog.sign_in(&elsewhere, "ann", "/").await;
    blog.sign_in(&browser, "ann", "/account").await;
    // The one that signed up, the one elsewhere, and this one.
    browser
        .eventually("all are listed", async || {
            browser.reload().await;
            (browser.count(".sessions > li").await == 3).then_some(())
        })
        .await;
    browser.press(".sessions > li:nth-child(2) button").await;
    browser.shows(".done", "That session is over.").await;
    assert_eq!(browser.count(".sessions > li").await, 2);
    elsewhere.open(&blog.url("/account")).await;
    elsewhere.shows("body", "Sign in").await;
    browser.press("form:has(input[value=others]) button").await;
    browser.shows(".done", "That session is over.").await;
    assert_eq!(browser.count(".sessions > li").await, 1);
}

#[tokio::test]
async fn an_admin_says_what_people_are_trusted_with() {
    let blog = Blog::start();
    blog.person("bob", &[]);
    let (admin, bob) = (Browser::start(Scripts::On).await, Browser::start(Scripts::On).await);
    blog.sign_in(&bob, "bob", "/admin").await;
    bob.shows("label", "Code").await;
    look_at(&bob, "admin-code").await;
    fill(&bob, &[("#code", "guessed")]).await;
    send(&bob, "#code").await;
    bob.shows("#code-wrong", "not known").await;

    blog.person("olaf", &["admin"]);
    blog.sign_in(&admin, "olaf", "/admin").await;
    let of_bob = "li:has(input[value=''])";
    admin.shows(of_bob, "bob").await;
    look_at(&admin, "admin").await;
    fill(&admin, &[(&format!("{of_bob} input[name=roles]"), "moderator")]).await;
    admin.press(&format!("{of_bob} form.roles button")).await;
    bob.open(&blog.url("/moderation")).await;
    bob.shows(".empty", "Nothing is held back.").await;
    let of_bob = "li:has(input[value=moderator])";
    admin.press(&format!("{of_bob} form:not(.roles) button")).await;
    admin.shows(&format!("{of_bob} form:not(.roles) button"), "Let in again").await;
    look_at(&admin, "admin-blocked").await;
    bob.open(&blog.url("/")).await;
    bob.shows("body", "blocked").await;
}

#[tokio::test]
async fn an_admin_issues_a_key_for_programs_and_ends_it() {
    for scripts in [Scripts::On, Scripts::Off] {
        let blog = Blog::start();
        let browser = Browser::start(scripts).await;
        blog.person("olaf", &["admin"]);
        blog.sign_in(&browser, "olaf", "/admin").await;
        browser.press(".tabs a[href='/admin/keys']").await;
        browser.shows("main", "There are no keys yet.").await;
        look_at(&browser, "keys").await;
        fill(&browser, &[("#name", "Nightly <report>"), ("#roles", "moderator not/one"), ("#days", "30")])
            .await;
        send(&browser, "#name").await;
        browser.shows("#roles-wrong", "letters, digits").await;
        assert_eq!(browser.value("#name").await, "Nightly <report>", "what was typed is kept");
        look_at(&browser, "keys-wrong").await;
        fill(&browser, &[("#roles", "moderator")]).await;
        send(&browser, "#name").await;
        browser.shows(".done", "It is not shown again").await;
        browser.shows(".keys > li", "Nightly <report>").await;
        look_at(&browser, "keys-issued").await;
        let token = browser.run("return document.querySelector('#token').textContent").await;
        let token = token.as_str().unwrap();
        assert_eq!(blog.status_by("/moderation/queue", token), 200);

        browser.open(&blog.url("/admin/keys")).await;
        browser.shows(".keys > li", "moderator").await;
        assert_eq!(browser.count("#token").await, 0, "it was shown once");
        browser.press(".keys > li button").await;
        browser.shows("main", "There are no keys yet.").await;
        assert_eq!(blog.status_by("/moderation/queue", token), 401);
    }
}
