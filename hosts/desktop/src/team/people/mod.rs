//! People who answer over HTTP, beside whoever sits at the terminal: who answers first is heard.
//!
//! * [`Board`]: what is asked, and what was answered, between the run and all who answer.
//! * [`Server`]: the board over HTTP, on this machine only. `routes`: what it answers. `guard`: who may ask it.
//!   `refusal`: how it says no.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /questions` | what is asked now, and whether everybody pauses |
//! | `POST /questions/ID` with `{"answer": TEXT}` | answers one; of an approval, with `yes` or `no` |
//! | `POST /pause` | everybody pauses (SIG_USER) |
//! | `POST /resume` with `{"words": TEXT}` | they go on; the words, if any, are for all who still speak |
//!
//! What must never happen here: that a page of some web site, or a stranger, answers for a person; that a question is
//! answered twice; that a request holds up the run, or that one who is slow keeps others out for good.

mod board;
mod guard;
mod refusal;
mod routes;
mod server;

pub use board::{AnswerError, Asking, Board, MOST_ANSWER_BYTES};
pub use server::{PeopleError, Server, ServerLimits};
