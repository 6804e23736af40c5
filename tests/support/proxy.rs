//! A proxy between the program and the server that knows MongoDB's commands, and can stop the world at any one of them.
//!
//! It is how a crash, a lost reply, a partition or a refusal is put at an exact place from outside, so that the program needs no test
//! hooks. The program connects with `directConnection=true` (see `TestDb::uri_through`): discovery would lead around the proxy.
//!
//! A message that is held belongs to the network: the client may be killed meanwhile, and when it is released the server gets it
//! all the same, late. `Stop::cut` loses it instead.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::db::TestDb;
use super::mongod::Mongod;
use super::proxy_rules::{Action, Release, Shared, Verdict};
pub use super::proxy_rules::{Command, On};
use super::proxy_wire::{Message, reply, request};

/// A proxy before one server. Dropping it closes every connection.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// A rule of the proxy, for as long as this value lives. Dropping it forwards what it holds.
#[must_use = "the rule is removed when this is dropped"]
pub struct Stop {
    rule: u64,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a port of its own and forwards to the server, also after that was started again.
    pub fn before(server: &Mongod) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the proxy");
        let port = listener.local_addr().expect("the address of a bound socket").port();
        let shared = Arc::new(Shared::new());
        let (server_port, of_acceptor) = (server.port(), Arc::clone(&shared));
        let acceptor = Some(std::thread::spawn(move || accept(&listener, server_port, &of_acceptor)));
        Proxy { port, shared, acceptor }
    }

    /// What the program gets as `--mongodb-uri`, to reach this database through the proxy.
    pub fn uri(&self, db: &TestDb) -> String {
        db.uri_through(self.port)
    }

    /// Every command that arrived, in order, the driver's own chatter included.
    pub fn journal(&self) -> Vec<Command> {
        self.shared.journal()
    }

    /// The commands that the program sent: no handshakes, monitoring, pings, ending of sessions and cursors.
    pub fn commands(&self) -> Vec<Command> {
        self.journal().into_iter().filter(|command| !command.background).collect()
    }

    /// Holds the message until it is released.
    pub fn hold(&self, on: On) -> Stop {
        self.rule(on, Action::Hold)
    }

    /// Closes the connection, on both sides.
    pub fn cut(&self, on: On) -> Stop {
        self.rule(on, Action::Cut)
    }

    /// Closes all connections and refuses new ones until `restore`.
    pub fn cut_all(&self, on: On) -> Stop {
        self.rule(on, Action::CutAll)
    }

    /// Answers with this document. Before: the server never sees the command. After: it has executed it, and the client is told this.
    pub fn answer(&self, on: On, answer: Document) -> Stop {
        self.rule(on, Action::Answer(answer))
    }

    /// Ends its transaction on the server in its place, then answers with this document: nothing is left open behind the client's back.
    pub fn abort_and_answer(&self, on: On, answer: Document) -> Stop {
        self.rule(on.after(), Action::AbortAndAnswer(answer))
    }

    /// Forwards it without these fields, as if the server passed over them.
    pub fn without(&self, on: On, fields: &'static [&'static str]) -> Stop {
        self.rule(on, Action::Without(fields))
    }

    /// Lets it pass after a while.
    pub fn delay(&self, on: On, delay: Duration) -> Stop {
        self.rule(on, Action::Delay(delay))
    }

    /// Closes all connections now, and refuses new ones until `restore`: the database is gone.
    pub fn cut_off(&self) {
        self.shared.close_all(false);
    }

    /// Takes new connections again.
    pub fn restore(&self) {
        self.shared.restore();
    }

    /// Stops the world: waits until the server has answered what it has got, and lets nothing more go on to it until `go_on`. So the commands
    /// beside one that is held change nothing meanwhile, wherever they were. With `cut_off` they are lost.
    #[track_caller]
    pub fn halt(&self) {
        let timeout = Duration::from_secs(60);
        assert!(self.shared.halt(timeout), "the server did not answer within {timeout:?}");
    }

    /// Ends a `halt`: what came meanwhile goes on to the server.
    pub fn go_on(&self) {
        self.shared.go_on();
    }

    fn rule(&self, on: On, action: Action) -> Stop {
        Stop { rule: self.shared.add(on, action), shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.close_all(true);
        // Wakes the acceptor, which then sees that the proxy is closed.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Stop {
    /// Waits until a message is there; fails the test, naming the commands that came, when none is in time.
    #[track_caller]
    pub fn wait_until_reached(&self, timeout: Duration) {
        let reached = self.shared.wait_for(self.rule, timeout, |(reached, _)| reached > 0);
        assert!(reached, "the stop point was not reached within {timeout:?}; seen: {:?}", self.seen());
    }

    /// Waits until the server has executed what was stopped here: after `release`, also when the client has gone.
    #[track_caller]
    pub fn wait_until_answered(&self, timeout: Duration) {
        let answered = self.shared.wait_for(self.rule, timeout, |(_, answered)| answered > 0);
        assert!(answered, "the server did not answer within {timeout:?}; seen: {:?}", self.seen());
    }

    /// How many messages it has stopped.
    pub fn times(&self) -> u32 {
        self.shared.progress(self.rule).0
    }

    /// Lets held messages go on, now and later.
    pub fn release(&self) {
        self.shared.release(self.rule, Release::Forward);
    }

    /// Loses held messages, and closes their connections.
    pub fn cut(&self) {
        self.shared.release(self.rule, Release::Cut);
    }

    fn seen(&self) -> Vec<String> {
        self.shared.journal().into_iter().filter(|command| !command.background).map(|command| command.name).collect()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.shared.remove(self.rule);
    }
}

/// An error as the server would send it, for `Proxy::answer`. Labels such as `TransientTransactionError` decide what the driver does.
pub fn error(code: i32, code_name: &str, labels: &[&str]) -> Document {
    doc! {"ok": 0.0, "errmsg": "made by the test", "code": code, "codeName": code_name, "errorLabels": labels}
}

fn accept(listener: &TcpListener, server_port: u16, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_closed() {
            return;
        }
        if let (Ok(client), false) = (client, shared.is_refusing()) {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || {
                // Whatever breaks a connection, its end on both sides is all there is to say about it.
                let _ = serve(client, server_port, &shared);
            });
        }
    }
}

/// Serves one connection to its end, with a second thread for the replies.
fn serve(client: TcpStream, server_port: u16, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let Some(connection) = shared.admit([client.try_clone()?, server.try_clone()?]) else { return Ok(()) };
    let to_client = Mutex::new(client.try_clone()?);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _ = replies(connection, &server, &to_client, shared);
            shared.close(connection);
        });
        let outcome = requests(connection, &client, &server, &to_client, shared);
        shared.close(connection);
        if let Err(error) = outcome {
            // Shown with the test that fails because of it.
            eprintln!("proxy: connection {connection}: {error}");
        }
    });
    Ok(())
}

fn requests(
    connection: u64,
    mut client: &TcpStream,
    mut server: &TcpStream,
    to_client: &Mutex<TcpStream>,
    shared: &Shared,
) -> io::Result<()> {
    while let Some(message) = Message::read(&mut client)? {
        let request_id = message.request_id();
        let command = Command::new(connection, message.command()?);
        let is_counted = !command.background && !message.is_unacknowledged();
        let stopped = shared.arrive(command, request_id);
        let stopped_here = stopped.filter(|stopped| !stopped.after);
        if stopped.is_some_and(|stopped| shared.aborts(stopped.rule)) {
            // The first key of a command is its name.
            let mut abort = doc! { "abortTransaction": 1 };
            abort.extend(message.command()?.into_iter().skip(1));
            server.write_all(&request(request_id, &abort))?;
            continue;
        }
        let verdict = stopped_here.map_or(Verdict::Pass, |stopped| shared.perform(stopped.rule));
        let goes_on = matches!(verdict, Verdict::Pass | Verdict::Without(_));
        if goes_on && is_counted && !shared.depart(connection, request_id) {
            return Ok(());
        }
        match verdict {
            Verdict::Pass => server.write_all(message.bytes())?,
            Verdict::Without(fields) => {
                let mut command = message.command()?;
                fields.iter().for_each(|field| drop(command.remove(field)));
                server.write_all(&request(request_id, &command))?;
            }
            Verdict::Answer(body) => {
                send(to_client, &reply(request_id, &body))?;
                continue;
            }
            Verdict::Close => return Ok(()),
        }
        if stopped_here.is_some() && !message.is_unacknowledged() {
            shared.wait_until_answered(connection, request_id);
        }
    }
    Ok(())
}

fn replies(connection: u64, mut server: &TcpStream, to_client: &Mutex<TcpStream>, shared: &Shared) -> io::Result<()> {
    while let Some(message) = Message::read(&mut server)? {
        let request_id = message.response_to();
        let stopped_here = shared.answered(connection, request_id).filter(|stopped| stopped.after);
        match stopped_here.map_or(Verdict::Pass, |stopped| shared.perform(stopped.rule)) {
            Verdict::Pass | Verdict::Without(_) => send(to_client, message.bytes())?,
            Verdict::Answer(body) => send(to_client, &reply(request_id, &body))?,
            Verdict::Close => return Ok(()),
        }
    }
    Ok(())
}

fn send(to_client: &Mutex<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    to_client.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
}
