//! A server that is further away: a proxy that delivers every byte later, in both directions.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Listens on a port of its own and forwards to the server; a round trip takes this much longer. Returns the port.
pub async fn before(server_port: u16, round_trip: Duration) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(forward(from_client, to_server, round_trip / 2));
            tokio::spawn(forward(from_server, to_client, round_trip / 2));
        }
    });
    Ok(port)
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    // Bytes wait in a channel, so that those behind them start their way meanwhile.
    let (sender, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(1_024);
    tokio::spawn(async move {
        while let Some((due, bytes)) = arriving.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1_024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if sender.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}
