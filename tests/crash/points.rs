//! The stop points of a pass: every command to the database and every request to Drive, before and after it takes effect.
//!
//! They are read from an undisturbed pass, so that the table cannot miss one when the program changes.

use std::collections::HashMap;

use crate::support::day::Day;
use crate::support::fake_drive::{Answer, Fault, Hold, On as DriveOn, Operation, Point as DrivePoint};
use crate::support::mongod::Mongod;
use crate::support::proxy::{self, On, Proxy, Stop};

use super::PATIENCE;

/// One message of a pass, and which side of its effect.
#[derive(Clone, Debug)]
pub struct Point {
    /// The message.
    pub message: Message,
    /// After it took effect, before its sender knows.
    pub after: bool,
}

/// A message of a pass.
#[derive(Clone, Debug)]
pub enum Message {
    /// The n-th command of a name, about a collection.
    Command { name: String, collection: Option<String>, nth: u32 },
    /// The n-th request of an operation.
    Request { operation: Operation, nth: usize },
}

/// A pass that will stop at a point.
pub enum Held {
    /// By the proxy.
    Command(Stop),
    /// By the fake Drive.
    Request(Hold),
}

/// What an undisturbed pass looks like.
pub struct Undisturbed {
    /// Its messages before and after their effects, in order.
    pub points: Vec<Point>,
    /// The lines of all files, without headers, in order.
    pub lines: Vec<Vec<u8>>,
}

impl Undisturbed {
    /// Runs one, and reads it.
    pub fn pass(day: &Day, command: &[&str]) -> Undisturbed {
        let proxy = Proxy::before(Mongod::shared());
        day.run().args(command).mongodb(&proxy.uri(&day.db)).run().expect_code(0);
        day.check_converged();
        Undisturbed { points: points(&proxy, day), lines: lines(day) }
    }
}

/// The messages that went through, before and after their effects: the commands in order, then the requests in order.
pub fn points(proxy: &Proxy, day: &Day) -> Vec<Point> {
    let mut counts: HashMap<(String, Option<String>), u32> = HashMap::new();
    let commands = proxy.commands().into_iter().map(|command| {
        let collection = command.collection().map(str::to_owned);
        let nth = counts.entry((command.name.clone(), collection.clone())).or_default();
        *nth += 1;
        Message::Command { name: command.name, collection, nth: *nth }
    });
    let requests = day.drive().journal().into_iter();
    let requests = requests.map(|request| Message::Request { operation: request.operation, nth: request.nth });
    let sides = |message: Message| [false, true].map(|after| Point { message: message.clone(), after });
    commands.chain(requests).flat_map(sides).collect()
}

/// The lines of all live files without their headers, in order.
pub fn lines(day: &Day) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for file in day.live_files() {
        lines.extend(
            file.bytes.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()).map(<[u8]>::to_vec),
        );
    }
    lines.sort();
    lines
}

impl Point {
    /// Whether it is a command to the database.
    pub fn is_command(&self) -> bool {
        matches!(self.message, Message::Command { .. })
    }

    fn on(&self) -> On {
        let Message::Command { name, collection, nth } = &self.message else { panic!("{self:?} is no command") };
        let on = On::command(name).nth(*nth);
        let on = collection.iter().fold(on, |on, collection| on.collection(collection));
        if self.after { on.after() } else { on }
    }

    /// Holds the pass here. A request before its effect gets lost with its sender unless it is `in_flight`.
    pub fn hold(&self, proxy: &Proxy, day: &Day, in_flight: bool) -> Held {
        match self.message {
            Message::Command { .. } => Held::Command(proxy.hold(self.on())),
            Message::Request { operation, nth } => {
                let point = match (self.after, in_flight) {
                    (true, _) => DrivePoint::After,
                    (false, true) => DrivePoint::InFlight,
                    (false, false) => DrivePoint::Before,
                };
                Held::Request(day.drive().hold(DriveOn::nth(operation, nth), point))
            }
        }
    }

    /// Closes the connection here.
    pub fn cut(&self, proxy: &Proxy, day: &Day) -> Option<Stop> {
        match self.message {
            Message::Command { .. } => Some(proxy.cut(self.on())),
            Message::Request { operation, nth } => {
                let fault = if self.after { Fault::lost_answer() } else { Fault::reset() };
                day.drive().plan(DriveOn::nth(operation, nth), fault);
                None
            }
        }
    }

    /// Answers with an error that no client tries again by itself.
    pub fn refuse(&self, proxy: &Proxy, day: &Day) -> Option<Stop> {
        match self.message {
            Message::Command { .. } => Some(proxy.answer(self.on(), proxy::error(96, "OperationFailed", &[]))),
            Message::Request { operation, nth } => {
                let answer = match operation {
                    Operation::Token => Answer::token_error(400, "invalid_grant", "made by the test"),
                    _ => Answer::error(403, "storageQuotaExceeded"),
                };
                let fault = Fault::answer(answer);
                let fault = if self.after { fault.after_effect() } else { fault };
                day.drive().plan(DriveOn::nth(operation, nth), fault);
                None
            }
        }
    }
}

impl Held {
    /// Waits until the pass is here.
    #[track_caller]
    pub fn wait_until_reached(&self) {
        match self {
            Held::Command(stop) => stop.wait_until_reached(PATIENCE),
            Held::Request(hold) => hold.wait_until_reached(PATIENCE),
        }
    }

    /// Lets the message go on.
    pub fn release(&self) {
        match self {
            Held::Command(stop) => stop.release(),
            Held::Request(hold) => hold.release(),
        }
    }

    /// Lets the message of a dead sender arrive after all, and waits until it has.
    pub fn arrive_late(&self) {
        self.release();
        match self {
            Held::Command(stop) => stop.wait_until_answered(PATIENCE),
            Held::Request(_) => {}
        }
    }

    /// Loses the message. A request whose sender is gone is lost by itself.
    pub fn lose(&self) {
        match self {
            Held::Command(stop) => stop.cut(),
            Held::Request(_) => {}
        }
    }
}
