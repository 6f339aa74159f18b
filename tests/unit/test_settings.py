"""What can be set, from where, and what is said about it when it is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tiersync import fanout, settings
from tiersync.errors import SettingsError
from tiersync.intake import ANY_ORG
from tiersync.retry import Schedule
from tiersync.settings import PREFIX, Settings

SECRET = "do-not-show-me"
BASIC = {
    "CAPILLARY_URL": "https://eu.api.capillarytech.com",
    "CAPILLARY_USERNAME": "till.user",
    "CAPILLARY_PASSWORD": SECRET,
    "WEBHOOK_SECRETS": f"{SECRET}-1, {SECRET}-2",
}
Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Load from exactly these variables, and from this text as tiersync.toml."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def load_from(toml: str = "", **variables: str) -> Settings:
        if toml:
            (tmp_path / "tiersync.toml").write_text(toml, encoding="utf-8")
        for name, value in variables.items():
            monkeypatch.setenv(PREFIX + name, value)
        return settings.load()

    return load_from


def problems(load: Load, toml: str = "", **variables: str) -> list[str]:
    """Load what must fail; return the lines of the message."""
    with pytest.raises(SettingsError) as refusal:
        load(toml, **variables)
    return str(refusal.value).splitlines()


def test_one_org_needs_nothing_but_its_address_credentials_and_secrets(load: Load) -> None:
    """What the front page promises is enough to serve."""
    loaded = load(**BASIC)

    assert settings.missing_to_serve(loaded) == []
    assert [*loaded.by_org()] == [ANY_ORG]
    assert [secret.get_secret_value() for secret in loaded.webhook_secrets] == [f"{SECRET}-1", f"{SECRET}-2"]


@pytest.mark.parametrize(
    ("taken_away", "added", "missing"),
    [
        (["CAPILLARY_URL"], {}, ["CAPILLARY_URL"]),
        (["CAPILLARY_PASSWORD"], {}, ["CAPILLARY_PASSWORD"]),
        (["CAPILLARY_USERNAME", "CAPILLARY_PASSWORD"], {}, ["CAPILLARY_USERNAME", "CAPILLARY_PASSWORD"]),
        (["CAPILLARY_USERNAME", "CAPILLARY_PASSWORD"], {"CAPILLARY_KEY": "k"}, ["CAPILLARY_SECRET"]),
        (["CAPILLARY_USERNAME", "CAPILLARY_PASSWORD"], {"CAPILLARY_SECRET": "s"}, ["CAPILLARY_KEY"]),
        (["CAPILLARY_USERNAME", "CAPILLARY_PASSWORD"], {"CAPILLARY_KEY": "k", "CAPILLARY_SECRET": "s"}, []),
        (["WEBHOOK_SECRETS"], {}, ["WEBHOOK_SECRETS"]),
        (["WEBHOOK_SECRETS"], {"WEBHOOK_SECRETS": " , "}, ["WEBHOOK_SECRETS"]),
        (["WEBHOOK_SECRETS"], {"WEBHOOK_SIGNING_SECRETS": "whsec_YQ=="}, []),
        ([], {"CAPILLARY_PASSWORD": ""}, ["CAPILLARY_PASSWORD"]),
    ],
)
def test_whatever_is_missing_is_named_with_an_example(
    load: Load, taken_away: list[str], added: dict[str, str], missing: list[str]
) -> None:
    """The operator reads which variables to set and what they look like."""
    variables = {name: value for name, value in BASIC.items() if name not in taken_away} | added

    lines = settings.missing_to_serve(load(**variables))

    assert [f"{PREFIX}{name}: missing. Example: {PREFIX}{name}=" for name in missing] == [
        line[: line.index("=") + 1] for line in lines
    ]


WRONG = {
    "CAPILLARY_URL": [
        "api.capillarytech.com",
        "ftp://x",
        "https://u:p@x",
        "https://u@x",
        "https://x?a=b",
        "https://x/#a",
    ],
    "CALLS_CONCURRENT_MAX": ["0", "many"],
    "CALL_S_MAX": ["0", "-1", "inf", "nan", "8 s"],
    "DEFAULT_PROGRAM": ["0", "Gold"],
    "ON_JOIN": ["yes"],
    "SECONDARY_ABOVE_PRIMARY": ["lower"],
    "TIER_SOURCE": ["now"],
    "RENEWAL": ["always"],
    "VALIDITY": ["SPECIFIC_DATE"],
    "SEVERAL_GROUPS": ["all"],
    "PORT": ["-1", "65536", "http"],
    "ORG": ["-5"],
    "LEASE_S": ["0", "inf"],
    "PLAN_BATCH_MAX": ["3001"],
    "RETRY_DELAYS_S": ["soon", "1,-2", "1,nan", " , "],
    "RETRY_JITTER_SHARE": ["1.1"],
    "LOG_LEVEL": ["INFORMATION"],
    "ORGS": ["50614"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_whatever_is_wrong_is_named_with_an_example(load: Load, name: str, value: str) -> None:
    """A wrong value stops the start, and the message can be acted on without reading the source."""
    (line,) = problems(load, **{name: value})

    variable = "orgs" if name == "ORGS" else PREFIX + name
    assert line.startswith(f"{variable}: ")
    assert "Example: " in line


def test_every_wrong_setting_is_named_at_once(load: Load) -> None:
    """Nobody should have to start it five times to hear five complaints."""
    lines = problems(load, PORT="x", LEASE_S="y", ON_JOIN="z")

    assert {line.split(":")[0] for line in lines} == {"TIERSYNC_PORT", "TIERSYNC_LEASE_S", "TIERSYNC_ON_JOIN"}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_an_example_that_it_accepts(load: Load, name: str) -> None:
    """The example of a message is no second mistake."""
    shown = settings.example(name)

    if name == "orgs":
        assert load(ORGS=shown).orgs == {}
    elif shown != "None":
        load(**{name.upper(): shown})


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("port = [", "tiersync.toml: "),
        ("prot = 8080", "TIERSYNC_PROT: there is no such setting"),
        ("[orgs.50614]\nporgram = 1", "orgs.50614.porgram: there is no such setting"),
        ("[orgs.50614]\nport = 1", "orgs.50614.port: there is no such setting"),
        ("[orgs.50614]\non_join = 'no'", "orgs.50614.on_join: "),
        ("[orgs.demo]", "orgs.demo: "),
        ("[orgs.0]", "orgs.0: "),
        ("[orgs]\n50614 = 'demo'", "orgs.50614: "),
        ("orgs = 3", "orgs: "),
        ("webhook_secrets = ['']", "TIERSYNC_WEBHOOK_SECRETS: "),
        ("webhook_signing_secrets = ['']", "TIERSYNC_WEBHOOK_SIGNING_SECRETS: "),
    ],
)
def test_a_mistake_in_the_file_is_named_too(load: Load, toml: str, line: str) -> None:
    """A misspelt setting that is silently left out would be found out in production; an empty secret lets all in."""
    (found,) = problems(load, toml)

    assert found.startswith(line)


def test_a_file_that_was_asked_for_must_exist(load: Load, tmp_path: Path) -> None:
    """A wrong path must not mean "all defaults"."""
    (line,) = problems(load, CONFIG=str(tmp_path / "nowhere.toml"))

    assert line.startswith("TIERSYNC_CONFIG: ")
    assert str(tmp_path / "nowhere.toml") in line


def test_a_file_that_is_not_text_is_named(load: Load, tmp_path: Path) -> None:
    """No traceback for a wrong file."""
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")

    (line,) = problems(load, CONFIG=str(tmp_path / "settings.toml"))

    assert line.startswith(f"{tmp_path / 'settings.toml'}: ")


def test_orgs_that_are_not_json_in_the_environment_are_named(load: Load) -> None:
    """The one structured variable has a message of its own."""
    (line,) = problems(load, ORGS="50614")[:1]
    (other,) = problems(load, ORGS="{")

    assert line.startswith("orgs: ")
    assert other.startswith("TIERSYNC_ORGS: ")


def test_the_environment_wins_over_the_file_and_an_empty_variable_is_none(load: Load) -> None:
    """What a container sets counts; what it sets to nothing does not."""
    loaded = load("port = 1\nhost = '0.0.0.0'", PORT="2", HOST="")

    assert (loaded.port, loaded.host) == (2, "0.0.0.0")  # noqa: S104


SEVERAL = """
capillary_url = "https://eu.api.capillarytech.com"
capillary_key = "shared"
capillary_secret = "shared-secret"
default_program = 1
on_join = "off"
webhook_secrets = ["one", "two, with a comma"]

[orgs.50614]
default_program = 973

[orgs.6485]
capillary_url = "https://us.api.capillarytech.com"
capillary_username = "till"
capillary_password = "own"
on_join = "adjust"
"""


def test_several_orgs_inherit_what_they_do_not_say(load: Load) -> None:
    """The top level speaks for every org, the environment included, and an org's own word is the last."""
    loaded = load(SEVERAL, RENEWAL="plain")

    first, second = loaded.by_org()[50614], loaded.by_org()[6485]
    assert settings.missing_to_serve(loaded) == []
    assert [*loaded.by_org()] == [50614, 6485]
    assert first.policy == fanout.Policy(default_program=973, on_join=fanout.OnJoin.OFF, renewal=fanout.Renewal.PLAIN)
    assert second.policy == fanout.Policy(default_program=1, renewal=fanout.Renewal.PLAIN)
    assert (str(first.capillary_url), str(second.capillary_url)) == (
        "https://eu.api.capillarytech.com/",
        "https://us.api.capillarytech.com/",
    )
    assert [secret.get_secret_value() for secret in loaded.webhook_secrets] == ["one", "two, with a comma"]


def test_an_orgs_own_till_user_goes_before_a_shared_client(load: Load) -> None:
    """OAuth is preferred where both are set: an inherited client must not take the place of the org's own user."""
    loaded = load(SEVERAL)

    first, second = loaded.by_org()[50614], loaded.by_org()[6485]
    assert (first.capillary_key, first.capillary_username) == ("shared", None)
    assert (second.capillary_key, second.capillary_secret, second.capillary_username) == (None, None, "till")


def test_what_an_org_is_missing_is_named_in_its_table(load: Load) -> None:
    """With several orgs a variable's name would not say whose it is."""
    loaded = load("webhook_secrets = ['s']\n[orgs.5]\ncapillary_url = 'https://x.example'\n[orgs.6]\ncapillary_key='k'")

    named = [line.split(":")[0] for line in settings.missing_to_serve(loaded)]

    assert named == [
        "orgs.5.capillary_username",
        "orgs.5.capillary_password",
        "orgs.6.capillary_url",
        "orgs.6.capillary_secret",
    ]


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("lease_s = 19.9", "TIERSYNC_LEASE_S"),
        ("attempt_s_max = 15.1", "TIERSYNC_LEASE_S"),
        ("[orgs.5]\nattempt_s_max = 15.1", "TIERSYNC_LEASE_S"),
        ("call_s_max = 10.1", "TIERSYNC_CALL_S_MAX"),
        ("attempt_s_max = 7", "TIERSYNC_CALL_S_MAX"),
        ("[orgs.5]\n[orgs.6]\ncall_s_max = 10.1", "orgs.6.call_s_max"),
    ],
)
def test_a_lease_outlives_an_attempt_and_an_attempt_a_call(load: Load, toml: str, named: str) -> None:
    """Else a second worker could take a key over while the first one's call is still on its way."""
    (line,) = problems(load, toml)

    assert line.startswith(f"{named}: ")
    assert "Example: " in line


def test_limits_that_just_agree_are_accepted(load: Load) -> None:
    """Twice the attempt, and the call as long as the attempt, are within the rules."""
    loaded = load("lease_s = 20\nattempt_s_max = 10\ncall_s_max = 10")

    assert (loaded.lease_s, loaded.attempt_s_max, loaded.call_s_max) == (20, 10, 10)


def test_the_schedule_is_made_of_the_retry_settings(load: Load) -> None:
    """Each of the four reaches `retry`."""
    loaded = load(RETRY_DELAYS_S="1, 2.5", RETRY_ATTEMPTS_MAX="7", RETRY_DELAY_S_MAX="99", RETRY_JITTER_SHARE="0")

    assert loaded.schedule == Schedule((1.0, 2.5), 7, 99.0, 0.0)


def test_the_default_policies_are_those_of_the_policy_itself(load: Load) -> None:
    """There are not two sets of defaults."""
    assert load().policy == fanout.Policy()
    assert load().schedule == Schedule()


def test_no_secret_is_ever_shown(load: Load) -> None:
    """Neither a printed settings object nor a message about a wrong setting gives a secret away."""
    secrets = {
        **BASIC,
        "CAPILLARY_SECRET": SECRET,
        "OPERATOR_TOKEN": SECRET,
        "WEBHOOK_SIGNING_SECRETS": f"whsec_{SECRET}",
        "DATABASE_URL": f"postgresql://tiersync:{SECRET}@db/tiersync",
    }
    loaded = load(**secrets)
    in_a_table = f"[orgs.5]\ncapillary_password = '{SECRET}'\ncapillary_secret = ['{SECRET}']"

    refusals = [*problems(load, in_a_table, PORT="x"), *settings.missing_to_serve(load("[orgs.5]", PORT="1"))]

    shown = [repr(loaded), str(loaded), repr(loaded.by_org()), *refusals]
    assert [text for text in shown if SECRET in text] == []
    assert refusals


def test_an_only_org_beside_a_table_of_several_is_refused(load: Load) -> None:
    """One of the two would be ignored without a word."""
    (line,) = problems(load, "[orgs.5]\n[orgs.6]", ORG="7")

    assert line.startswith("TIERSYNC_ORG: ")
    assert "[orgs.5], [orgs.6]" in line


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_one() -> None:
    """A typing error shows; what belongs to the sandbox, to others, or names the file is none."""
    variables = ["TIERSYNC_LEASES_S", "TIERSYNC_QQ", "TIERSYNC_SANDBOX_PORT", "TIERSYNC_CONFIG", "TIERSYNC_ORG", "PATH"]

    assert settings.unknown_variables(variables) == [
        "TIERSYNC_LEASES_S: there is no such setting; is TIERSYNC_LEASE_S meant?",
        "TIERSYNC_QQ: there is no such setting",
    ]


def test_a_breaker_pauses_no_longer_than_its_longest_pause(load: Load) -> None:
    """Else the first pause would be longer than all that follow."""
    (line,) = problems(load, "breaker_pause_s = 61")

    assert line.startswith("TIERSYNC_BREAKER_PAUSE_S: ")
