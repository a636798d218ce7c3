//! Reading what `agentos run --json` tells.

// Each test file uses its own part of this.
#![allow(dead_code)]

use serde_json::Value;

use super::cli_support::Ran;

/// The lines of a run, the summary last.
pub struct Lines(pub Vec<Value>);

impl Lines {
    /// Of what was printed, whatever the exit code.
    #[track_caller]
    pub fn of(ran: &Ran) -> Lines {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let lines: Vec<Value> = ran.stdout.lines().map(parse).collect();
        assert_eq!(lines.last().unwrap_or_else(|| panic!("{}", ran.stderr))["event"], "summary");
        Lines(lines)
    }

    pub fn summary(&self) -> &Value {
        &self.0[self.0.len() - 1]
    }

    /// What the summary says of an agent.
    #[track_caller]
    pub fn agent(&self, name: &str) -> &Value {
        let agents = self.summary()["agents"].as_array().unwrap();
        agents.iter().find(|agent| agent["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// That an agent said what it had to say. What a tool gives may differ from run to run (the time, a folder's
    /// name), and with it the moment at which a model of random weights comes upon its end.
    #[track_caller]
    pub fn answered(&self, name: &str) {
        let agent = self.agent(name);
        assert!(agent["reason"] == "length" || agent["reason"] == "stop", "{agent}");
        assert!(!self.text(name).is_empty(), "{agent}");
    }

    /// Lines of an event.
    pub fn events(&self, event: &str) -> Vec<&Value> {
        self.0.iter().filter(|line| line["event"] == event).collect()
    }

    /// Lines of an event of an agent.
    pub fn of_agent(&self, event: &str, agent: &str) -> Vec<&Value> {
        self.events(event).into_iter().filter(|line| line["agent"] == agent).collect()
    }

    /// The only line of an event of an agent.
    #[track_caller]
    pub fn one(&self, event: &str, agent: &str) -> &Value {
        let found = self.of_agent(event, agent);
        assert_eq!(found.len(), 1, "{event}: {found:?}");
        found[0]
    }

    /// The place of an event of an agent among all lines.
    #[track_caller]
    pub fn place(&self, event: &str, agent: &str) -> usize {
        let found = self.0.iter().position(|line| line["event"] == event && line["agent"] == agent);
        found.unwrap_or_else(|| panic!("{agent} was never {event}"))
    }

    /// The ids of an agent's tokens.
    pub fn ids(&self, agent: &str) -> Vec<u64> {
        self.of_agent("token", agent).iter().map(|line| line["id"].as_u64().unwrap()).collect()
    }

    /// What an agent's tokens made whole.
    pub fn text(&self, agent: &str) -> String {
        self.of_agent("token", agent).iter().map(|line| line["text"].as_str().unwrap()).collect()
    }

    /// The sum of a figure over all agents.
    pub fn sum(&self, figure: &str) -> u64 {
        let agents = self.summary()["agents"].as_array().unwrap();
        agents.iter().map(|agent| agent[figure].as_u64().unwrap()).sum()
    }
}
