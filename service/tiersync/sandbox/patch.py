"""Pure. Merging a partial JSON object into the switches, and listing what switches there are."""

from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

from tiersync.sandbox.switches import Switches


@dataclass(frozen=True, slots=True)
class Patched:
    """The switches after a patch, and the names (`adjust.latency`) that it set."""

    switches: Switches
    touched: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unpatchable:
    """Why a patch was refused. `unknown` names switches nobody knows."""

    message: str
    unknown: tuple[str, ...] = ()


def known() -> dict[str, dict[str, object]]:
    """Return every switch by name with its default, its values or parameters, and its meaning."""
    listed: dict[str, dict[str, object]] = {}
    defaults = Switches().model_dump(mode="json", by_alias=True)
    schema = Switches.model_json_schema(by_alias=True)
    for section, kept in defaults.items():
        model = schema["$defs"][schema["properties"][section]["$ref"].rpartition("/")[2]]
        for switch, default in kept.items():
            field = model["properties"][switch]
            entry: dict[str, object] = {"default": default, "meaning": field.get("description", "")}
            entry |= _values(field, schema["$defs"])
            listed[f"{section}.{switch}"] = entry
    return listed


def merge(switches: Switches, patch: object) -> Patched | Unpatchable:
    """Merge a patch; a switch that is named gets its new value whole, null brings its default back."""
    if not isinstance(patch, dict):
        return Unpatchable('expected a JSON object such as {"adjust": {"latency": {"ms": 300}}}')
    defaults = Switches().model_dump(by_alias=True)
    merged = switches.model_dump(by_alias=True)
    names = {f"{section}.{switch}" for section, kept in defaults.items() for switch in kept}
    touched: set[str] = set()
    for section, wanted in patch.items():
        if section in defaults and not isinstance(wanted, dict):
            return Unpatchable(f"{section} takes an object of switches, such as {_example(section, names)}")
        given = wanted if isinstance(wanted, dict) else {"": wanted}
        for switch, value in given.items():
            name = f"{section}.{switch}".rstrip(".")
            if name not in names:
                return _unknown(name, names)
            merged[section][switch] = defaults[section][switch] if value is None else value
            touched.add(name)
    try:
        return Patched(Switches.model_validate(merged), frozenset(touched))
    except ValidationError as wrong:
        return _wrong(wrong)


def _unknown(name: str, names: set[str]) -> Unpatchable:
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; GET /sandbox/faults lists all of them"
    return Unpatchable(f"unknown switch {name}{hint}", (name,))


def _wrong(wrong: ValidationError) -> Unpatchable:
    first = wrong.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return Unpatchable(f"unknown parameter {name}; GET /sandbox/faults lists what each switch takes", (name,))
    return Unpatchable(f"{name}: {first['msg']}")


def _example(section: str, names: set[str]) -> str:
    switch = min(name for name in names if name.startswith(f"{section}."))
    return f'{{"{section}": {{"{switch.partition(".")[2]}": ...}}}}'


def _values(field: dict[str, object], definitions: dict[str, dict[str, object]]) -> dict[str, object]:
    """Say what a switch takes: its choices, or the parameters of its fault."""
    if "enum" in field:
        return {"values": field["enum"]}
    if field.get("type") == "boolean":
        return {"values": [True, False]}
    options = field.get("anyOf")
    for option in options if isinstance(options, list) else ():
        if "$ref" in option:
            properties = definitions[option["$ref"].rpartition("/")[2]]["properties"]
            assert isinstance(properties, dict)  # noqa: S101 - the schema is our own
            return {"parameters": {name: parameter.get("default") for name, parameter in properties.items()}}
    return {}


def dump(model: BaseModel) -> dict[str, object]:
    """Return switches as JSON shows them."""
    return model.model_dump(mode="json", by_alias=True)
