//! HTTP server: an accept loop of our own, so that one can be reset in the middle of a request.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::handler::Outcome;
use crate::lock::lock;
use crate::state::SimState;

/// Serves until `stop` resolves, then closes all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<SimState>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    lock(&state.requests).stats.connections += 1;
                    connections.spawn(connection(stream, Arc::clone(&state)));
                }
                // Out of descriptors, most likely: others have to close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<SimState>) {
    let reset = Arc::new(Notify::new());
    let service = {
        let reset = Arc::clone(&reset);
        service_fn(move |request| {
            let (state, reset) = (Arc::clone(&state), Arc::clone(&reset));
            async move {
                match state.handle(request).await {
                    Outcome::Response(response) => Ok::<_, Infallible>(response),
                    Outcome::Reset => {
                        reset.notify_one();
                        pending().await
                    }
                }
            }
        })
    };
    // Best effort: without it responses only come later.
    let _ = stream.set_nodelay(true);
    let mut served = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error is a client that went away, or a body cut on purpose.
        _ = &mut served => return,
        () = reset.notified() => {}
    }
    let stream = served.into_parts().io.into_inner();
    // Closing with no lingering and data unread or unsent is what makes a reset of it.
    let _ = stream.set_zero_linger();
}
