import pytest
from drain3.drain import Drain

from bench.peers.guarded_drain import GuardedDrain, antonym_in
from engine.steps.parse import ParseSettings


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("Started", "started"),
        ("(up)", "up"),
        ("state=closed,", "closed"),
        ('"GET', "get"),
        ("user=root", "root"),
        ("root", ""),
        ("/started", ""),
        ("getStarted2", ""),
        ("cluster_root_backup", ""),
        ("", ""),
    ],
)
def test_words_are_seen_in_their_punctuation(token, word):
    assert antonym_in(token) == word


@pytest.mark.parametrize(
    "pair",
    [
        ("VM Started (Lifecycle Event)", "VM Paused (Lifecycle Event)"),
        ("link eth0 is up", "link eth0 is down"),
        ("session opened for user a by b", "session closed for user a by b"),
        ("request of client a b c accepted", "request of client a b c rejected"),
    ],
)
def test_opposites_never_share_a_template(pair, parser_of, batch_of):
    lines = [text.encode() for text in pair] * 3
    parsed = parser_of(ParseSettings(format="raw")).parse(batch_of(lines))
    assert len(set(parsed.good.template.tolist())) == 2
    assert set(parsed.good.templates.values()) == {text.replace("eth0", "eth<NUM>") for text in pair}


def test_a_wildcard_never_stands_for_an_opposite(parser_of, batch_of):
    lines = [f"volume {word} by node now" for word in ("blue", "green", "red", "mounted", "unmounted")]
    parsed = parser_of(ParseSettings(format="raw")).parse(batch_of([line.encode() for line in lines]))
    assert [parsed.good.templates[t] for t in parsed.good.template.tolist()][3:] == lines[3:]
    assert len(set(parsed.good.template.tolist()[1:3])) == 1


def test_without_such_words_the_tree_is_drains_own():
    plain, guarded = Drain(), GuardedDrain()
    for text in ("a b c d", "a b c e", "a x y z", "q 1 2 3", "a b f e") * 2:
        found, expected = guarded.add_log_message(text), plain.add_log_message(text)
        assert (found[0].cluster_id, found[1]) == (expected[0].cluster_id, expected[1])
        assert found[0].get_template() == expected[0].get_template()
