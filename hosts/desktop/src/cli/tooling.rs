//! The tools of a team, made ready for a run.

use std::sync::Arc;

use agentos_perception::ControlStrings;
use agentos_tools::mcp::Hub;
use agentos_tools::{Descriptor, Registry};

use crate::constraint;
use crate::team::people::Board;
use crate::team::runner::{Kit, Tooling};
use crate::team::tools::{Aligner, Callers, Crew, Desk, Errands, Reception, kit, means, person, words};
use crate::team::{Problem, Team, TeamError};
use crate::text::{Template, Tokenizer, time_of_day};

/// The tools of a team's agents.
pub struct Toolset {
    registries: Vec<Registry>,
    /// The registry of each agent, by its index in the team.
    of: Vec<Option<usize>>,
    reception: Reception,
    servers: Option<Hub>,
    errands: Errands,
}

impl Toolset {
    /// Builds what the agents of a team are granted. Agents that are granted the same share it. Who is
    /// to be asked sits at the terminal, or answers on the board.
    ///
    /// # Errors
    /// [`Problem::Tools`].
    pub fn new(team: &Team, board: Option<Board>) -> Result<Toolset, TeamError> {
        let (mut registries, mut of) = (Vec::new(), Vec::with_capacity(team.agents.len()));
        let uses = team.agents.iter().any(|agent| agent.tools.is_some());
        let errands = Errands::default();
        let means = uses.then(|| means(&errands.bell));
        let bell = errands.bell.clone();
        let hub = match uses && !team.servers.is_empty() {
            true => Some(Hub::new(move || bell.ring()).map_err(|error| {
                let name = team.agents[0].name.clone();
                team.error(team.agents[0].place, Problem::Tools { name, error: error.to_string() })
            })?),
            false => None,
        };
        for (index, agent) in team.agents.iter().enumerate() {
            let (Some(tools), Some(means)) = (&agent.tools, &means) else {
                of.push(None);
                continue;
            };
            let same = |&other: &usize| {
                team.agents[other]
                    .tools
                    .as_ref()
                    .is_some_and(|its| its.grant == tools.grant && its.asks == tools.asks)
            };
            let number = match (0..index).find(same) {
                Some(other) => of[other],
                None => {
                    let refuse =
                        |error| team.error(agent.place, Problem::Tools { name: agent.name.clone(), error });
                    registries.push(
                        kit(tools, means, &team.servers, hub.as_ref(), &errands, &team.agents)
                            .map_err(refuse)?,
                    );
                    Some(registries.len() - 1)
                }
            };
            of.push(number);
        }
        let reception = Reception::new(person(), board);
        Ok(Toolset { registries, of, reception, servers: hub, errands })
    }

    /// Whether any agent has tools.
    pub fn is_empty(&self) -> bool {
        self.registries.is_empty()
    }

    /// Whether a person is there who may speak with agents.
    pub fn hears(&self) -> bool {
        self.reception.is_open()
    }

    /// What is known of an agent's tools, by their numbers.
    pub fn descriptors(&self, member: usize) -> Option<Vec<Descriptor>> {
        let registry = &self.registries[self.of[member]?];
        Some(registry.descriptors().cloned().collect())
    }

    /// The tools at a desk, and the forms of all who call them or answer in a form. Results say that they were
    /// taken at `now_s`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Problem::Tools`]: a form cannot be had.
    pub fn open(
        self,
        team: &Team,
        kits: &[Option<Kit>],
        (template, tokenizer): (&Template, &Arc<Tokenizer>),
        now_s: i64,
    ) -> Result<Tooling, TeamError> {
        let controls = ControlStrings::new(tokenizer.control_strings(template.source()));
        let first = team.agents[0].place;
        let wrong = |place, name: &str, error: String| {
            team.error(place, Problem::Tools { name: name.to_owned(), error })
        };
        let controls = controls.map_err(|error| wrong(first, &team.agents[0].name, error.to_string()))?;
        let held = |agent: &&crate::team::Agent| agent.tools.is_some() || agent.response_schema.is_some();
        let mut callers = Callers::default();
        let mut crew = Crew::default();
        if let Some(agent) = team.agents.iter().find(held) {
            let vocabulary = constraint::vocabulary(tokenizer)
                .map_err(|error| wrong(agent.place, &agent.name, error.to_string()))?;
            crew = Crew::new();
            callers = Callers::new(team.agents.len(), vocabulary, crew.clone());
        }
        for (index, agent) in team.agents.iter().enumerate().filter(|(_, agent)| held(agent)) {
            let tools = kits[index].as_ref().map_or(&[][..], |kit| &kit.tools[..]);
            let own = kits[index].as_ref().and_then(|kit| kit.format.as_deref());
            let shape = own.map_or_else(words::plain_shape, |format| format.shape.clone());
            callers
                .enrol(index, (tools.iter(), &shape), agent.response_schema.as_deref())
                .map_err(|error| wrong(agent.place, &agent.name, error.to_string()))?;
        }
        let desk = Desk::new(self.registries, self.of, self.reception, self.servers, self.errands, crew);
        let taken = time_of_day(now_s);
        let aligner = Arc::new(Aligner { tokenizer: tokenizer.clone(), controls, taken });
        desk.rehearse(&aligner);
        Ok(Tooling { desk, callers, aligner: Some(aligner) })
    }
}
