//! What happened, as a trace that Perfetto and `chrome://tracing` show: a track per agent, one for the
//! device's steps, one per interrupt vector, and counters.
//!
//! Source of the format: Google, "Trace Event Format" (the JSON object form). Written as it comes; what
//! is kept is only which tracks are named and which spans are open.

use std::collections::HashMap;
use std::io::{self, Write};

use agentos_kernel::agent::{AgentId, StateKind};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::interrupt::VectorId;
use agentos_kernel::tool::CallTimes;
use serde::Serialize;
use serde_json::{Value, json};

use super::name::Names;

/// Groups of tracks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Device = 1,
    Agents = 2,
    Interrupts = 3,
}

/// The device's only track.
const STEPS: u64 = 1;

/// A track: its group and its number there.
type Track = (Group, u64);

/// Writes a trace.
pub struct Trace<W: Write> {
    out: W,
    /// Something has been written, so that a comma is needed.
    begun: bool,
    /// No time is before the last one.
    last_us: u64,
    /// The numbers of agents' tracks, in the order in which they were first heard of.
    agents: HashMap<AgentId, u64>,
    /// The vectors whose tracks have names.
    vectors: Vec<VectorId>,
    /// Tracks with an open span.
    open: Vec<Track>,
    /// The last count of pages written.
    l1_pages: Option<u32>,
}

/// An event of the format.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    ph: &'a str,
    ts: u64,
    pid: u64,
    tid: u64,
    /// Of an instant: how far its mark reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(mut out: W) -> io::Result<Trace<W>> {
        out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        let (agents, vectors, open) = (HashMap::new(), Vec::new(), Vec::new());
        let mut trace = Trace { out, begun: false, last_us: 0, agents, vectors, open, l1_pages: None };
        for (group, name) in
            [(Group::Device, "device"), (Group::Agents, "agents"), (Group::Interrupts, "interrupts")]
        {
            trace.name("process_name", (group, 0), name)?;
        }
        trace.name("thread_name", (Group::Device, STEPS), "steps")?;
        Ok(trace)
    }

    /// Writes an event.
    ///
    /// # Errors
    /// The writer's.
    pub fn record(&mut self, record: &Record, names: &Names) -> io::Result<()> {
        self.last_us = self.last_us.max(record.at_us);
        match record.event {
            Event::Spawned { agent, parent, tokens } => {
                let track = self.agent(agent, names)?;
                let parent = parent.map(|parent| names.of(parent));
                self.instant("spawned", track, json!({ "parent": parent, "tokens": tokens }))?;
                self.end(track, Value::Null)?;
                self.begin(state_name(StateKind::New), track, Value::Null)
            }
            Event::State { agent, to, .. } => {
                let track = self.agent(agent, names)?;
                self.end(track, Value::Null)?;
                match to {
                    StateKind::Stopped | StateKind::Faulted => Ok(()),
                    state => self.begin(state_name(state), track, Value::Null),
                }
            }
            Event::StepBegun { step, rows, agents } => {
                let track = (Group::Device, STEPS);
                self.end(track, Value::Null)?;
                self.counter("rows", rows)?;
                self.begin("step", track, json!({ "step": step, "rows": rows, "agents": agents }))
            }
            Event::StepEnded { good, kernel_us, .. } => {
                self.end((Group::Device, STEPS), json!({ "good": good, "kernel_us": kernel_us }))?;
                self.counter("rows", 0)
            }
            Event::Interrupt { vector, agent, latency_us } => {
                let track = self.vector(vector)?;
                let agent = agent.map(|agent| names.of(agent));
                let args = json!({ "agent": agent, "latency_us": latency_us });
                self.instant(vector.info().name, track, args)
            }
            Event::Killed { agent } => {
                let track = self.agent(agent, names)?;
                self.end(track, Value::Null)?;
                self.instant("killed", track, Value::Null)
            }
            Event::Message { from, to, tokens } => {
                let track = self.agent(to, names)?;
                let from = from.map(|from| names.of(from));
                self.instant("message", track, json!({ "from": from, "tokens": tokens }))
            }
            Event::Booted { agents, l1_pages, l2_pages } => {
                let args = json!({ "agents": agents, "l1_pages": l1_pages, "l2_pages": l2_pages });
                self.instant("booted", (Group::Device, STEPS), args)
            }
            Event::Thrashing { working, pages } => {
                let args = json!({ "working": working, "pages": pages });
                self.instant("thrashing", (Group::Device, STEPS), args)
            }
            Event::Lost { count } => {
                self.instant("events lost", (Group::Device, STEPS), json!({ "count": count }))
            }
            Event::Restored { agent, tokens, computed } => {
                let track = self.agent(agent, names)?;
                self.instant("restored", track, json!({ "tokens": tokens, "computed": computed }))?;
                self.end(track, Value::Null)?;
                self.begin(state_name(StateKind::New), track, Value::Null)
            }
            Event::Stored { waiting } => {
                self.instant("stored", (Group::Device, STEPS), json!({ "waiting": waiting }))
            }
            Event::StoreFailed { fault } => {
                self.instant("not stored", (Group::Device, STEPS), json!({ "reason": fault.name() }))
            }
            Event::StoreSlow { slow } => {
                self.instant("store", (Group::Device, STEPS), json!({ "slow": slow }))
            }
            Event::Token { agent, .. }
            | Event::Sealed { agent, .. }
            | Event::Shared { agent, .. }
            | Event::Relocated { agent, .. }
            | Event::Preempted { agent }
            | Event::ToolStarted { agent, .. }
            | Event::ToolOver { agent, .. }
            | Event::ToolReturned { agent, .. }
            | Event::ToolResumed { agent, .. }
            | Event::ToolRestored { agent, .. }
            | Event::PagedOut { agent, .. }
            | Event::PagedIn { agent, .. }
            | Event::PageFault { agent, .. }
            | Event::Replayed { agent, .. }
            | Event::Recalled { agent, .. }
            | Event::RecallFailed { agent, .. }
            | Event::Finished { agent, .. }
            | Event::Faulted { agent, .. } => {
                let track = self.agent(agent, names)?;
                let (name, args) = mark(&record.event);
                self.instant(name, track, args)
            }
        }
    }

    /// Writes how many pages of page memory are in use, where that has changed.
    ///
    /// # Errors
    /// The writer's.
    pub fn l1_pages(&mut self, at_us: u64, pages: u32) -> io::Result<()> {
        if self.l1_pages.replace(pages) == Some(pages) {
            return Ok(());
        }
        self.last_us = self.last_us.max(at_us);
        self.counter("l1_pages", pages)
    }

    /// Ends what is still open, and the trace; returns the writer, flushed.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<W> {
        while let Some(&track) = self.open.last() {
            self.end(track, Value::Null)?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// The track of an agent, which is named when the agent is first heard of.
    fn agent(&mut self, agent: AgentId, names: &Names) -> io::Result<Track> {
        if let Some(&number) = self.agents.get(&agent) {
            return Ok((Group::Agents, number));
        }
        let number = self.agents.len() as u64 + 1;
        self.agents.insert(agent, number);
        let track = (Group::Agents, number);
        self.name("thread_name", track, &names.of(agent))?;
        Ok(track)
    }

    fn vector(&mut self, vector: VectorId) -> io::Result<Track> {
        let track = (Group::Interrupts, vector as u64);
        if !self.vectors.contains(&vector) {
            self.vectors.push(vector);
            self.name("thread_name", track, vector.info().name)?;
        }
        Ok(track)
    }

    fn name(&mut self, what: &str, track: Track, name: &str) -> io::Result<()> {
        self.write(what, "M", track, None, json!({ "name": name }))
    }

    fn begin(&mut self, name: &str, track: Track, args: Value) -> io::Result<()> {
        self.open.push(track);
        self.write(name, "B", track, None, args)
    }

    /// Ends the span of a track, if one is open: its beginning may be among events that were lost.
    fn end(&mut self, track: Track, args: Value) -> io::Result<()> {
        let Some(index) = self.open.iter().position(|&open| open == track) else { return Ok(()) };
        self.open.swap_remove(index);
        self.write("", "E", track, None, args)
    }

    fn instant(&mut self, name: &str, track: Track, args: Value) -> io::Result<()> {
        self.write(name, "i", track, Some("t"), args)
    }

    fn counter(&mut self, name: &str, count: u32) -> io::Result<()> {
        self.write(name, "C", (Group::Device, 0), None, json!({ name: count }))
    }

    fn write(&mut self, name: &str, ph: &str, track: Track, s: Option<&str>, args: Value) -> io::Result<()> {
        let (pid, tid) = (track.0 as u64, track.1);
        self.out.write_all(if self.begun { b",\n" } else { b"\n" })?;
        self.begun = true;
        let entry = Entry { name, ph, ts: self.last_us, pid, tid, s, args };
        Ok(serde_json::to_writer(&mut self.out, &entry)?)
    }
}

/// The mark of something that happens to an agent: its name and what belongs to it.
fn mark(event: &Event) -> (&'static str, Value) {
    match *event {
        Event::Token { address, token, logprob, .. } => {
            ("token", json!({ "address": address, "token": token, "logprob": logprob }))
        }
        Event::Sealed { base, tokens, .. } => ("sealed", json!({ "base": base, "tokens": tokens })),
        Event::Shared { base, tokens, .. } => ("shared", json!({ "base": base, "tokens": tokens })),
        Event::Relocated { base, tokens, .. } => ("relocated", json!({ "base": base, "tokens": tokens })),
        Event::PagedOut { pages, .. } => ("paged out", json!({ "pages": pages })),
        Event::PagedIn { pages, .. } => ("paged in", json!({ "pages": pages })),
        Event::PageFault { base, tokens, question, .. } => {
            ("page fault", json!({ "base": base, "tokens": tokens, "question": question }))
        }
        Event::Replayed { base, tokens, .. } => ("replayed", json!({ "base": base, "tokens": tokens })),
        Event::Recalled { tokens, pages, load_us, .. } => {
            ("recalled", json!({ "tokens": tokens, "pages": pages, "load_us": load_us }))
        }
        Event::RecallFailed { tokens, fault, .. } => {
            ("not recalled", json!({ "tokens": tokens, "reason": fault.name() }))
        }
        Event::Finished { finish, generated, .. } => {
            ("finished", json!({ "reason": finish.name(), "generated": generated }))
        }
        Event::Faulted { fault, .. } => ("faulted", json!({ "reason": fault.name() })),
        Event::Preempted { .. } => ("preempted", Value::Null),
        Event::ToolStarted { number, tool, attempt, .. } => {
            ("tool started", json!({ "call": number, "tool": tool.0, "attempt": attempt }))
        }
        Event::ToolOver { number, outcome, attempts, .. } => {
            ("tool over", json!({ "call": number, "outcome": outcome.name(), "attempts": attempts }))
        }
        Event::ToolReturned { number, tokens, .. } => {
            ("tool returned", json!({ "call": number, "tokens": tokens }))
        }
        Event::ToolResumed { number, times, encode_us, .. } => {
            let CallTimes { dispatch_us, step_us, device_us, align_us } = times;
            let parts = json!({
                "call": number, "dispatch_us": dispatch_us, "step_us": step_us, "device_us": device_us,
                "align_us": align_us, "encode_us": encode_us,
            });
            ("tool resumed", parts)
        }
        Event::ToolRestored { number, before, again, .. } => {
            ("tool restored", json!({ "call": number, "before": before, "again": again }))
        }
        _ => unreachable!("everything else has a track's own span or mark"),
    }
}

const fn state_name(state: StateKind) -> &'static str {
    match state {
        StateKind::New => "waits for admission",
        StateKind::Ready | StateKind::Running => "ready",
        StateKind::Blocked => "blocked",
        StateKind::Suspended => "suspended",
        StateKind::Stopped => "stopped",
        StateKind::Faulted => "faulted",
    }
}
