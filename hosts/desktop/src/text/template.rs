//! The model's own chat template: a Jinja text in the model file, rendered as the `transformers`
//! library does.
//!
//! A template is outside data. It runs on fuel, which pays for every instruction and for every byte
//! that it makes, so that neither its time nor its memory is without bound. The engine (minijinja 3.1)
//! charges for a list that was joined to itself with `+` again and again only once it is made, which
//! may never be; what that costs is bounded by a limit of time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use serde::{Deserialize, Serialize};

use super::conversation::Conversation;
use super::strftime::strftime;
use super::tojson::tojson;
use super::vocabulary::Vocabulary;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Whoever set the model its task.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool that the model has called.
    Tool,
}

impl Role {
    /// The name that templates know.
    pub const fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What a template is told besides the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    /// End with the beginning of the model's answer.
    pub add_generation_prompt: bool,
    /// The time that it is, in seconds since 1970 began, UTC.
    pub now_s: i64,
}

/// Why a template is refused, or does not render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The model has none, and its vocabulary is not that of a format known here.
    Missing,
    /// It is too long.
    TooLong {
        /// Its bytes.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// It is no template, or does something that cannot be done.
    Broken {
        /// The line of the template, from 1, if known.
        line: Option<usize>,
        /// What is wrong, in the words of the template engine.
        message: String,
    },
    /// It refuses the conversation.
    Refused {
        /// The line of the template, from 1, if known.
        line: Option<usize>,
        /// Why, in the template's own words.
        message: String,
    },
    /// It works too long or makes too much.
    OutOfFuel {
        /// The line of the template, from 1, if known.
        line: Option<usize>,
    },
    /// It works too long at something that takes no fuel before it is done.
    TooSlow {
        /// How long it may work.
        limit: Duration,
    },
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |line: &Option<usize>| line.map_or(String::new(), |line| format!(", line {line}"));
        match self {
            Self::Missing => f.write_str(
                "the model has no chat template, and its vocabulary no <|im_start|> and <|im_end|> for the \
                 common one; with --raw the prompt goes in as it is",
            ),
            Self::TooLong { found, limit } => {
                write!(f, "the model's chat template has {found} bytes; {limit} would fit")
            }
            Self::Broken { line, message } => {
                write!(f, "the model's chat template{}: {message}", at(line))
            }
            Self::Refused { line, message } => {
                write!(f, "the model's chat template{} refuses the conversation: {message}", at(line))
            }
            Self::OutOfFuel { line } => write!(
                f,
                "the model's chat template{}: it works without end; with --raw the prompt goes in as it is",
                at(line)
            ),
            Self::TooSlow { limit } => write!(
                f,
                "the model's chat template: it works longer than {} s; with --raw the prompt goes in as it is",
                limit.as_secs_f64()
            ),
        }
    }
}

impl std::error::Error for TemplateError {}

/// A compiled chat template, and the one that a model has beside it for conversations with tools.
pub struct Template {
    environment: Environment<'static>,
    /// The texts of both.
    source: String,
    /// There is one for tools.
    has_tool_use: bool,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

/// The template that is used where there are tools, if a model has one: GGUF files name it so, as the `transformers`
/// library does.
const TOOL_USE: &str = "tool_use";

/// The format of models that were taught with `<|im_start|>` and name no other.
const CHATML: &str = "\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
";

/// The longest templates in use have some 20,000 bytes.
const MAX_SOURCE_BYTES: usize = 1 << 20;

/// A unit of fuel pays for one instruction or 64 bytes. So much goes into every conversation, and one
/// unit more for every byte of its messages.
const BASE_FUEL: u64 = 200_000;

/// How long a template may work; those in use take some milliseconds.
const MAX_TIME: Duration = Duration::from_secs(2);

impl Template {
    /// The template of a model; the ChatML format if it has none but the tokens for it.
    ///
    /// # Errors
    /// [`TemplateError::Missing`], [`TemplateError::TooLong`], [`TemplateError::Broken`].
    pub fn of(vocabulary: &Vocabulary<'_>) -> Result<Template, TemplateError> {
        let has = |text| vocabulary.tokens.contains(&text);
        let source = match vocabulary.chat_template {
            Some(source) => source,
            None if has("<|im_start|>") && has("<|im_end|>") => CHATML,
            None => return Err(TemplateError::Missing),
        };
        let text = |id| vocabulary.token(id).unwrap_or_default();
        let template = Template::new(source, text(vocabulary.bos), text(vocabulary.eos))?;
        match vocabulary.tool_template {
            Some(source) => template.with_tool_use(source),
            None => Ok(template),
        }
    }

    /// Compiles a template. `bos` and `eos` are the texts of `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// [`TemplateError::TooLong`], [`TemplateError::Broken`].
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Template, TemplateError> {
        hold_length(source)?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(explain)?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        let source = source.to_owned();
        environment.add_template_owned(NAME, source.clone()).map_err(explain)?;
        let (bos, eos) = (bos.to_owned(), eos.to_owned());
        Ok(Template { environment, source, has_tool_use: false, bos, eos })
    }

    /// The same with another template for conversations with tools.
    ///
    /// # Errors
    /// As [`Template::new`].
    pub fn with_tool_use(mut self, source: &str) -> Result<Template, TemplateError> {
        hold_length(source)?;
        self.environment.add_template_owned(TOOL_USE, source.to_owned()).map_err(explain)?;
        self.source.extend(["\n", source]);
        self.has_tool_use = true;
        Ok(self)
    }

    /// The text of the template, and behind it that of the one for tools.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. To turn it into tokens use [`super::encode_chat`], which tells
    /// what the template wrote from what the messages say.
    ///
    /// After [`TemplateError::TooSlow`] a thread may still be at work: the program should end.
    ///
    /// # Errors
    /// [`TemplateError::Broken`], [`TemplateError::Refused`], [`TemplateError::OutOfFuel`],
    /// [`TemplateError::TooSlow`].
    pub fn render<'c>(
        &self,
        conversation: impl Into<Conversation<'c>>,
        options: &RenderOptions,
    ) -> Result<String, TemplateError> {
        self.render_within(MAX_TIME, &conversation.into(), options, &Marks::NONE)
    }

    /// [`Template::render`] of texts with marks in them.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub(crate) fn render_marked(
        &self,
        conversation: &Conversation<'_>,
        options: &RenderOptions,
        marks: &Marks<'_>,
    ) -> Result<String, TemplateError> {
        self.render_within(MAX_TIME, conversation, options, marks)
    }

    fn render_within(
        &self,
        limit: Duration,
        conversation: &Conversation<'_>,
        options: &RenderOptions,
        marks: &Marks<'_>,
    ) -> Result<String, TemplateError> {
        let bytes: usize = conversation.texts().iter().map(|text| text.len()).sum();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(BASE_FUEL + bytes as u64));
        let now_s = options.now_s;
        environment.add_function("strftime_now", move |format: &str| {
            strftime(format, now_s).map_err(|directive| {
                let message = format!("strftime_now does not know %{directive}");
                Error::new(ErrorKind::InvalidOperation, message)
            })
        });
        let in_json = marks.in_json;
        environment.add_filter("tojson", move |state: &State<'_, '_>, value: &Value, options: Kwargs| {
            tojson(state, value, options, in_json)
        });
        let context = context! {
            messages => conversation.turns(marks.mark),
            add_generation_prompt => options.add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => conversation.offered(marks.mark),
            documents => Value::from(()),
        };
        let name = if self.has_tool_use && !conversation.tools.is_empty() { TOOL_USE } else { NAME };
        within(limit, move || {
            let template = environment.get_template(name).map_err(explain)?;
            template.render(context).map_err(explain)
        })
    }
}

fn hold_length(source: &str) -> Result<(), TemplateError> {
    let (found, limit) = (source.len(), MAX_SOURCE_BYTES);
    if found > limit { Err(TemplateError::TooLong { found, limit }) } else { Ok(()) }
}

/// How texts are told from what the template writes.
pub(crate) struct Marks<'m> {
    /// A text with marks.
    pub(crate) mark: &'m dyn Fn(&str) -> String,
    /// The mark for what JSON writes for other characters, where it needs one.
    pub(crate) in_json: Option<char>,
}

impl Marks<'_> {
    /// They are not.
    const NONE: Marks<'static> = Marks { mark: &str::to_owned, in_json: None };
}

/// Works on a thread of its own, which is left alone when the time is over: nothing can stop it.
fn within(
    limit: Duration,
    render: impl FnOnce() -> Result<String, TemplateError> + Send + 'static,
) -> Result<String, TemplateError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Nobody listens any more when the time is over.
    std::thread::spawn(move || drop(sender.send(render())));
    match receiver.recv_timeout(limit) {
        Ok(rendered) => rendered,
        Err(RecvTimeoutError::Timeout) => Err(TemplateError::TooSlow { limit }),
        Err(RecvTimeoutError::Disconnected) => {
            Err(TemplateError::Broken { line: None, message: "the template engine panicked".to_owned() })
        }
    }
}

/// What a template says when it refuses a conversation.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn raise_exception(message: String) -> Result<String, Error> {
    let error = Error::new(ErrorKind::InvalidOperation, "raised by the template");
    Err(error.with_source(Refusal(message)))
}

fn explain(error: Error) -> TemplateError {
    let line = error.line();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(Refusal(message)) = error.downcast_ref() {
            let message = message.clone();
            return TemplateError::Refused { line, message };
        }
        cause = error.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::OutOfFuel { line },
        kind => TemplateError::Broken {
            line,
            message: error.detail().map_or(kind.to_string(), |detail| format!("{kind}: {detail}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine charges for its 4 million entries once they are made; of some turns more, the end
    /// would not be seen.
    #[test]
    fn a_list_that_doubles_again_and_again_is_stopped() {
        let source = "{% set ns = namespace(list=[0]) %}\
            {% for i in range(22) %}{% set ns.list = ns.list + ns.list %}{% endfor %}\
            {% for i in range(12) %}{% set ns.list = ns.list + [] %}{% endfor %}done";
        let template = Template::new(source, "", "").expect("a template");
        let options = RenderOptions { add_generation_prompt: true, now_s: 0 };
        let limit = Duration::from_millis(5);
        let nothing = Conversation::from(&[]);
        let render = |limit| template.render_within(limit, &nothing, &options, &Marks::NONE);
        assert_eq!(render(limit), Err(TemplateError::TooSlow { limit }));
        let error = render(Duration::from_secs(600));
        assert_eq!(error, Err(TemplateError::OutOfFuel { line: Some(1) }));
    }
}
