//! Answers that come piece by piece, as long as somebody makes pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// The body of an answer: what comes out of `pieces`, until nobody holds their sender.
pub(crate) fn body(pieces: mpsc::Receiver<Bytes>) -> Body {
    Body::new(Taken(pieces))
}

struct Taken(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Taken {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
