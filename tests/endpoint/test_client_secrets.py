"""The key reaches the server it is meant for and nothing else."""

import logging
from traceback import TracebackException

import pytest
from asking import SECRET, Got, Handler, Loopback, collect, completion, prompt, server

from dllm_eval.endpoint.complaint import SHOWN_CHARACTERS
from dllm_eval.endpoint.key import Key
from dllm_eval.endpoint.probe import check
from dllm_eval.endpoint.server import Retries, Server, ServerError, Timeouts
from dllm_eval.errors import UsageError

ONCE = Retries(most_tries=1)


def everything(error: BaseException) -> str:
    """What any printer of tracebacks could show of an error, its chain and local variables."""
    shown, left = "", [error]
    while left:
        one = left.pop()
        frames = TracebackException.from_exception(one, capture_locals=True)
        shown += repr(one.__dict__) + "".join(frames.format())
        left += [more for more in (one.__cause__, one.__context__) if more is not None]
    return shown


@pytest.mark.parametrize(
    "status", [200, 302, 400, 401, 404, 429, 500], ids=lambda status: f"status {status}"
)
def test_no_failure_shows_it(status: int, caplog: pytest.LogCaptureFixture) -> None:
    def answer(handler: Handler, got: Got) -> None:
        said = f"you sent {got.headers['authorization']}"
        handler.whole({"error": {"message": said}}, status, Location=f"http://else/{said}")

    with caplog.at_level(logging.DEBUG), Loopback(answer) as loopback:
        asked = server(loopback.base_url, retries=ONCE)
        with pytest.raises(ServerError) as caught:
            collect(asked, [prompt()])
    assert loopback.got[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in everything(caught.value) + caplog.text
    assert "Bearer ***" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("left", range(4, len(SECRET)))
def test_nor_does_a_failure_that_is_cut_within_it(left: int) -> None:
    def answer(handler: Handler, got: Got) -> None:
        key = got.headers["authorization"].removeprefix("Bearer ")
        handler.whole({"error": {"message": "x" * (SHOWN_CHARACTERS - left) + key}}, 400)

    with Loopback(answer) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, retries=ONCE), [prompt()])
    assert SECRET[:4] not in str(caught.value)
    assert "x***..." in str(caught.value)


def test_nor_does_a_connection_that_fails() -> None:
    asked = server("http://127.0.0.1:9/v1", retries=ONCE)
    for ask in (lambda: collect(asked, [prompt()]), lambda: check(asked, "m")):
        with pytest.raises(ServerError) as caught:
            ask()
        assert SECRET not in everything(caught.value)
        assert caught.value.__context__ is None


def test_nor_does_an_answer_that_quotes_it() -> None:
    def answer(handler: Handler, got: Got) -> None:
        said = got.headers["authorization"]
        more = {"model": said, "system_fingerprint": said, "warning": said}
        handler.whole(completion(f"<{said}>", reason=said, **more))

    with Loopback(answer) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert SECRET not in repr(found)
    assert found.text == "<Bearer ***>"


def test_nor_does_a_list_of_models_that_quotes_it() -> None:
    def answer(handler: Handler, got: Got) -> None:
        handler.whole({"data": [{"id": f"model of {got.headers['authorization']}"}]})

    with Loopback(answer) as loopback, pytest.raises(UsageError, match="model of Bearer") as caught:
        check(server(loopback.base_url), "m")
    assert SECRET not in str(caught.value)


def test_redirects_are_not_followed() -> None:
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as elsewhere:

        def answer(handler: Handler, _: Got) -> None:
            handler.whole("", 307, Location=f"{elsewhere.base_url}/completions")

        with Loopback(answer) as loopback, pytest.raises(ServerError) as caught:
            collect(server(loopback.base_url), [prompt()])
        assert str(caught.value) == (
            f"127.0.0.1:{loopback.server_port}: it redirects to another address "
            f"(307: {elsewhere.base_url}/completions): redirects are not followed, so that no key "
            "goes astray; set base_url= to where the server is"
        )
        assert elsewhere.got == []


def through_proxy(monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str = "") -> Server:
    """A server that only a proxy can reach, in an environment that names one."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.setenv("no_proxy", no_proxy)
    limits = Timeouts(connect_s=1)
    return server("http://model.invalid/v1", plain_http=True, retries=ONCE, timeouts=limits)


def test_a_proxy_is_used_where_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as proxy:
        url = f"http://us%2Fer:pa%20ss@127.0.0.1:{proxy.server_port}"
        (found,) = collect(through_proxy(monkeypatch, url), [prompt()])
    (got,) = proxy.got
    assert (found.text, got.path) == ("4", "http://model.invalid/v1/completions")
    assert got.headers["proxy-authorization"] == "Basic dXMvZXI6cGEgc3M="  # us/er:pa ss


def test_but_not_for_hosts_that_it_exempts(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as proxy:
        url = f"http://127.0.0.1:{proxy.server_port}"
        asked = through_proxy(monkeypatch, url, no_proxy="model.invalid")
        with pytest.raises(ServerError, match="no connection"):
            collect(asked, [prompt()])
    assert proxy.got == []


def test_a_proxy_of_an_encrypted_connection_never_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda handler, _: handler.whole("", 403)) as proxy:
        url = f"http://us%2Fer:pa%20ss@127.0.0.1:{proxy.server_port}"
        through_proxy(monkeypatch, url)
        monkeypatch.setenv("https_proxy", url)
        asked = server("https://model.invalid/v1", retries=ONCE)
        with pytest.raises(ServerError) as caught:
            collect(asked, [prompt()])
    (got,) = proxy.got
    assert (got.method, got.path) == ("CONNECT", "model.invalid:443")
    assert SECRET not in str(got.headers)
    assert got.headers["proxy-authorization"] == "Basic dXMvZXI6cGEgc3M="
    assert SECRET not in everything(caught.value)
    assert str(caught.value) == (
        "model.invalid: no answer in 1 try; the last: the environment's proxy refuses (403)"
    )


def test_and_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    through_proxy(monkeypatch, "http://127.0.0.1:9")
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as loopback:
        assert collect(server(loopback.base_url), [prompt()])[0].text == "4"


def test_a_proxy_of_another_kind_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = through_proxy(monkeypatch, "socks5://user:pass@127.0.0.1:9")
    for ask in (lambda: collect(asked, [prompt()]), lambda: check(asked, "m")):
        with pytest.raises(ServerError) as caught:
            ask()
        assert str(caught.value) == (
            "model.invalid: the environment's proxy at 127.0.0.1 is of kind 'socks5': accepted "
            "are http and https; unset it, or name model.invalid in NO_PROXY"
        )


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.example.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.9.9.9/v1",
        "http://localhost:8000/v1",
        "http://vllm.localhost/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_it_travels_encrypted_or_not_at_all(base_url: str) -> None:
    assert Server(base_url=base_url + "/", model="m", key=Key(SECRET)).base_url == base_url


@pytest.mark.parametrize("host", ["api.example.com", "10.0.0.3:8000", "localhost.example.com"])
def test_plain_http_to_other_machines_is_refused(host: str) -> None:
    url = f"http://{host}/v1"
    with pytest.raises(UsageError) as caught:
        server(url)
    assert str(caught.value) == (
        f"base_url={url} would send SOME_KEY unencrypted to another machine: use https, or "
        "plain_http=true if that network is yours"
    )
    assert server(url, secret=None).host == host
    assert server(url, plain_http=True).host == host


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"base_url": "api.example.com/v1"},
            "base_url=api.example.com/v1 is no address of a server: accepted is http:// or "
            "https://, a host and a path, for example http://127.0.0.1:8000/v1",
        ),
        ({"base_url": "ftp://host/v1"}, "base_url=ftp://host/v1 is no address of a server: "),
        ({"base_url": "http://host:port/v1"}, "base_url=http://host:port/v1 is no address"),
        ({"base_url": "http://[::1/v1"}, "base_url=http://[::1/v1 is no address"),
        (
            {"base_url": "https://user:hidden@host/v1"},
            "base_url at host holds a user name or password: a key stands in an environment",
        ),
        (
            {"base_url": "http://127.0.0.1:8000/v1/chat/completions"},
            "base_url=http://127.0.0.1:8000/v1/chat/completions ends with a route: accepted is "
            "what stands before the routes, for example http://127.0.0.1:8000/v1",
        ),
        ({"base_url": "https://h/v1?key=x"}, "base_url=https://h/v1 has a query or fragment"),
        ({"headers": {"AUTHORIZATION": "hidden"}}, "an Authorization header is not accepted"),
        ({"drafts": True, "stream": False}, "drafts=true needs stream=true"),
    ],
)
def test_servers_that_cannot_be(settings: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        server(**{"base_url": "https://host/v1", **settings})  # type: ignore[arg-type]
    assert str(caught.value).startswith(line)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["connect_s", "first_byte_s", "idle_s", "whole_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_limits_are_above_zero(name: str, value: float) -> None:
    with pytest.raises(UsageError) as caught:
        Timeouts(**{name: value})
    assert str(caught.value) == f"{name}={value} is not accepted: seconds above 0"


def test_tries_are_at_least_one() -> None:
    with pytest.raises(UsageError, match="tries=0 is not accepted: at least 1"):
        Retries(most_tries=0)
