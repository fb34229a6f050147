//! A writer's way in: through the gateway, or straight to a service. What is not answered is asked again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::application::Application;
use crate::client::{Client, Request, Response};
use crate::manifest::{ANN, MIA};
use crate::nats::{Nats, NoAnswer};

/// Whoever gets no answer asks again after this, at first.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Nobody may have to ask for longer than this.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// Where the application is reached by now.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    gateway: Client,
    services: Nats,
}

impl Doors {
    #[track_caller]
    pub fn of(application: &Application) -> Self {
        Self { gateway: application.client(), services: application.nats() }
    }
}

/// A writer, and its way in: through the gateway, to which it shows a key, or straight to a service, which it tells what
/// the gateway would.
pub struct Visitor {
    doors: Arc<Mutex<Doors>>,
    pub by_gateway: bool,
    pub name: String,
    /// Requests that had to be made again.
    pub repeated: u64,
}

impl Visitor {
    pub fn new(doors: &Arc<Mutex<Doors>>, by_gateway: bool, name: String) -> Self {
        Self { doors: Arc::clone(doors), by_gateway, name, repeated: 0 }
    }

    /// Sends a request that may be repeated, until the answer is one that `is_final`.
    pub fn send(
        &mut self,
        service: &str,
        request: &Request,
        is_final: impl Fn(&Response) -> bool,
    ) -> Response {
        let begun = Instant::now();
        // Longer and longer: an application that is busy is not made busier.
        let (mut patience, mut pause) = (ANSWER_TIME_MAX, Duration::from_millis(50));
        loop {
            let doors = *self.doors.lock().unwrap();
            let answer = if self.by_gateway {
                doors.gateway.send(request).map_err(NoAnswer::from)
            } else {
                doors.services.patient_for(patience).send(service, request)
            };
            if let Ok(answer) = &answer
                && is_final(answer)
            {
                return answer.clone();
            }
            assert!(begun.elapsed() < GIVE_UP_AFTER, "{}: {request:?} gets no answer: {answer:?}", self.name);
            self.repeated += 1;
            std::thread::sleep(pause);
            patience = (patience * 2).min(8 * ANSWER_TIME_MAX);
            pause = (pause * 2).min(ANSWER_TIME_MAX / 4);
        }
    }

    /// What does not exist may not be known yet to whoever is asked: that is asked again.
    pub fn write(&mut self, service: &str, request: &Request) -> Value {
        let answer = self.send(service, request, |answer| answer.status < 500 && answer.status != 404);
        assert!(matches!(answer.status, 200 | 201), "{}: {request:?}: {answer:?}", self.name);
        answer.json()
    }

    pub fn write_as_itself(&mut self, service: &str, request: Request) -> Value {
        let request =
            if self.by_gateway { request.by(ANN) } else { request.header("trellis-caller", &self.name) };
        self.write(service, &request)
    }

    pub fn write_as_moderator(&mut self, service: &str, request: Request) -> Value {
        let request = if self.by_gateway { request.by(MIA) } else { request.as_moderator() };
        self.write(service, &request)
    }
}

pub fn body(value: &Value) -> String {
    value.to_string()
}
