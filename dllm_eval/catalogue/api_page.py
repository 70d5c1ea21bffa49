"""A card's section `api` in words, for `dllm-eval models NAME`.

Lays out plain data; knows no terminal. `pages.py` calls it.
"""

from dllm_eval.catalogue.api_facts import ApiFacts, ApiRoute


def api_lines(facts: ApiFacts) -> dict[str, str]:
    """Heading -> text, in the order of the page."""
    lines = {
        "served at": facts.base_url,
        "key": f"in the environment variable {facts.key_env}",
        **{f"{name} route": _route(route) for name, route in facts.routes.items()},
    }
    if facts.dial is not None:
        values = ", ".join(facts.dial.values)
        lines["dial"] = f"{facts.dial.argument}: {values} (default {facts.dial.default})"
    if facts.prices is not None:
        lines["prices"] = (
            f"${facts.prices.input_usd_per_million:.2f} a million tokens in,"
            f" ${facts.prices.output_usd_per_million:.2f} out ({facts.prices.source})"
        )
    return lines | {"described by": facts.source}


def api_command(name: str, facts: ApiFacts) -> list[str]:
    """What a user types to evaluate it; each line stays whole."""
    dial = f",{facts.dial.argument}={facts.dial.values[0]}" if facts.dial else ""
    task = "dllm_humaneval" if "chat" in facts.routes else "dllm_infilling_single_line"
    chat = " --apply_chat_template" if "chat" in facts.routes else ""
    return [
        f"  export {facts.key_env}=...",
        f"  dllm-eval run --model dllm-api --model_args model={name}{dial} --tasks {task}{chat}"
        f" --confirm_run_unsafe_code --output_path results/{name}",
    ]


def _route(route: ApiRoute) -> str:
    limits = [] if route.max_output is None else [f"at most {route.max_output} tokens out"]
    if route.temperature is not None:
        lowest, highest = route.temperature
        limits.append(f"temperature {lowest:g} to {highest:g}")
    if route.default_temperature is not None:
        limits.append(f"its own {route.default_temperature:g}")
    if route.unsupported:
        limits.append(f"takes no {' and no '.join(route.unsupported)}")
    limits += [f"sent with {key}={value}" for key, value in route.body.items()]
    return ", ".join(limits) or "no limit stated"
