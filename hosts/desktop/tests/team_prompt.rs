//! What agents' contexts open with and go on with: the same tokens where they share a text, and control
//! tokens only where the template wrote them.

mod text_support;

use std::path::Path;
use std::sync::LazyLock;

use agentos_desktop::team::prompt::{Answer, Chat, FollowUpError, opening};
use agentos_desktop::team::{Team, builtin, parse};
use agentos_desktop::text::{Message, Role, Template, Tokenizer};
use proptest::prelude::*;
use text_support::default_chat;

static DEFAULT: LazyLock<(Tokenizer, Template)> = LazyLock::new(default_chat);

fn chat() -> Chat<'static> {
    let (tokenizer, template) = &*DEFAULT;
    Chat { template, tokenizer, now_s: 0 }
}

fn with_template(template: &Template) -> Chat<'_> {
    Chat { template, ..chat() }
}

fn user(content: &str) -> Message {
    Message { role: Role::User, content: content.to_owned() }
}

fn spelled(ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| DEFAULT.0.piece(id)).copied().collect();
    String::from_utf8(bytes).expect("UTF-8")
}

fn control(ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|&id| DEFAULT.0.is_control(id)).collect()
}

fn team(text: &str) -> Team {
    parse(Path::new("team.toml"), text).expect("a team")
}

#[test]
fn the_document_comes_first_and_answers_come_before_the_prompt() {
    let team = team(
        "document.text = 'A story.'\n[[agent]]\nname = 'a'\nsystem = 'Be brief.'\nprompt = 'Why?'\n\
         [[agent]]\nname = 'b'\nprompt = 'How?'\nafter = ['a']\n",
    );
    let a = chat().encode(&opening(&team, 0, &[])).expect("tokens");
    assert_eq!(
        spelled(&a),
        "<|im_start|>system\nA story.\n\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    );
    let answers = [Answer { name: "a", text: " So.\n" }, Answer { name: "c", text: "" }];
    let b = chat().encode(&opening(&team, 1, &answers)).expect("tokens");
    assert_eq!(
        spelled(&b),
        "<|im_start|>system\nA story.<|im_end|>\n<|im_start|>user\nAnswer of a:\nSo.\n\nAnswer of c:\n\n\nHow?<|im_end|>\n\
         <|im_start|>assistant\n"
    );
}

#[test]
fn agents_with_one_document_open_with_the_same_tokens() {
    let team = builtin();
    let openings: Vec<Vec<u32>> = (0..team.agents.len())
        .map(|index| chat().encode(&opening(&team, index, &[])).expect("tokens"))
        .collect();
    let document = DEFAULT
        .0
        .encode(team.document.as_deref().expect("a document"), agentos_desktop::text::Special::AsText);
    let document = document.expect("tokens").len();
    for other in &openings[1..] {
        let shared = openings[0].iter().zip(other).take_while(|(a, b)| a == b).count();
        assert!(shared > document, "{shared} of {document} tokens are shared");
    }
    let most = team.memory.l1_tokens.expect("a size") as usize;
    assert!(openings.iter().all(|tokens| tokens.len() < most / 2));
}

#[test]
fn a_follow_up_is_what_the_template_writes_behind_the_answer() {
    let chat = chat();
    let said = [Message { role: Role::System, content: "Be brief.".to_owned() }, user("Why?")];
    let cut = chat.follow_up(&said, "And then?", None).expect("tokens");
    let frame = chat.frame(&said).expect("tokens").expect("it is always the same");
    assert_eq!([&frame.before[..], &chat.text("And then?").expect("tokens"), &frame.after].concat(), cut);
    let expected = "<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(spelled(&cut), expected);
    let ended = chat.follow_up(&said, "And then?", Some(cut[0])).expect("tokens");
    assert_eq!(ended, cut[1..]);
    // Context, answer and follow-up are the tokens of the whole conversation.
    let mut whole = chat.encode(&said).expect("tokens");
    whole.extend(DEFAULT.0.encode("Because.", agentos_desktop::text::Special::AsText).expect("tokens"));
    whole.extend(&cut);
    let more = [Message { role: Role::Assistant, content: "Because.".to_owned() }, user("And then?")];
    let third: Vec<Message> = said.iter().chain(&more).cloned().collect();
    assert_eq!(chat.encode(&third), Ok(whole));
    // A third turn adds the same, whatever was said before.
    assert_eq!(chat.follow_up(&third, "And then?", Some(cut[0])).expect("tokens"), ended);
    // Another token's end is not the template's: the turn is closed all the same.
    assert_eq!(chat.follow_up(&said, "And then?", Some(0)).expect("tokens"), cut);
}

#[test]
fn a_template_that_rewrites_what_was_said_has_no_follow_up() {
    for source in [
        // The number of messages stands first.
        "{{ messages | length }}{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
        // Only the last message is written.
        "<|im_start|>{{ messages[-1].content }}<|im_end|>",
        // The answer is written twice.
        "{% for m in messages %}<|im_start|>{{ m.content }}{{ m.content }}<|im_end|>{% endfor %}",
    ] {
        let template = Template::new(source, "", "").expect("a template");
        let error = with_template(&template).follow_up(&[user("Why?")], "And then?", None);
        assert_eq!(error, Err(FollowUpError::Unstable), "{source}");
    }
    let refuses = Template::new("{{ raise_exception('no') }}", "", "").expect("a template");
    let error = with_template(&refuses).follow_up(&[user("Why?")], "And then?", None);
    assert!(matches!(error, Err(FollowUpError::Chat(_))), "{error:?}");
}

#[test]
fn white_space_before_the_end_of_an_answer_does_not_bring_the_end_twice() {
    let source = "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}\n{% else %}\
                  {{ m.content }} <|im_end|>{% endif %}{% endfor %}";
    let template = Template::new(source, "", "").expect("a template");
    let chat = with_template(&template);
    let cut = chat.follow_up(&[user("Why?")], "Then?", None).expect("tokens");
    assert_eq!(spelled(&cut), " <|im_end|><|im_start|>Then?\n");
    let end = control(&cut)[0];
    let ended = chat.follow_up(&[user("Why?")], "Then?", Some(end)).expect("tokens");
    assert_eq!(spelled(&ended), "<|im_start|>Then?\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever documents, people and agents say, the control tokens are the template's.
    #[test]
    fn nothing_that_is_said_becomes_a_control_token(
        said in prop::collection::vec(prop::sample::select(vec![
            "<|im_end|>", "<|im_start|>", "<|im_start|>system\n", "<|", "im_end", "|>", "<|endoftext|>", "a", "\n", " ",
        ]), 1..8),
    ) {
        let said = format!("x{}", said.concat());
        let team_of = |text: &str| {
            let mut team = team("document.text = 'd'\n[[agent]]\nname = 'a'\nsystem = 's'\nprompt = 'p'\n");
            team.document = Some(text.to_owned());
            team.agents[0].system = Some(text.into());
            team.agents[0].prompt = text.into();
            team
        };
        let tokens = |text: &str| {
            let opened = opening(&team_of(text), 0, &[Answer { name: "b", text }]);
            let follow = chat().follow_up(&opened, text, None).expect("tokens");
            [chat().encode(&opened).expect("tokens"), follow].concat()
        };
        prop_assert_eq!(control(&tokens(&said)), control(&tokens("x")));
    }
}
