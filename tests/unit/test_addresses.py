"""Addresses: what is refused before anything is sent, and what people see of one."""

from pathlib import Path

import pytest

from videoespresso.errors import AddressError, SettingsError
from videoespresso.models.client import http
from videoespresso.models.client.envelope import UnwantedError
from videoespresso.models.client.http import client
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import WEB_PORTS, Settings
from videoespresso.tools import from_mcp
from videoespresso.tools.fetch.addresses import is_address, reachable, shown, without_secrets
from videoespresso.tools.fetch.http import Client, parse

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
PRIVATE = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.1.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:101",
    "2002:7f00:1::",
    "2002:a00:1::",
)


@pytest.mark.parametrize("ip", PRIVATE)
def test_an_address_that_is_not_public_is_refused_by_number_and_by_name(ip: str) -> None:
    with pytest.raises(AddressError, match="public internet") as caught:
        reachable(ip, 80, allow_private=False)
    assert "--allow-private-addresses" in caught.value.hint
    with pytest.raises(AddressError, match=r"video\.example \("):
        reachable("video.example", 80, allow_private=False, resolve=lambda *_: [PUBLIC[0], ip])
    assert reachable(ip, 80, allow_private=True) == [ip]


@pytest.mark.parametrize("ip", [*PUBLIC, "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_not(ip: str) -> None:
    assert reachable(ip, 80, allow_private=False) == [ip]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
def test_other_ways_of_writing_an_address_are_checked_as_they_resolve(host: str) -> None:
    with pytest.raises(AddressError):
        reachable(host, 80, allow_private=False, resolve=lambda *_: ["127.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/clip.mp4",
        "file:///etc/passwd",
        "gopher://example.org/",
        "data://text/plain,hello",
        "rtsp://example.org/live",
        "http:///clip.mp4",
        "http://exa mple.org/",
        "http://example.org:99999/",
        "http://[::1/",
    ],
)
def test_what_is_no_http_address_is_refused(url: str) -> None:
    assert is_address(url)
    with pytest.raises(AddressError) as caught:
        parse(url)
    assert caught.value.hint


@pytest.mark.parametrize("path", ["clip.mp4", "C:/clip.mp4", "a://b"[2:], Path("https://a/b.mp4")])
def test_a_path_is_no_address(path: str | Path) -> None:
    assert not is_address(path)


def test_an_address_is_written_as_it_is_sent() -> None:
    address = parse(" HTTPS://me:p%40ss@Exämple.org:8443/a b/ü;1.mp4?x=1&y=[2]#part")
    assert (address.raw_host, address.port) == (b"xn--exmple-cua.org", 8443)
    assert address.raw_path == b"/a%20b/%C3%BC;1.mp4?x=1&y=[2]"
    assert (address.username, address.password) == ("me", "p@ss")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://me:hunter2@h.org/a.mp4", "https://h.org/a.mp4"),
        ("https://hunter2@h.org:81/a.mp4#hunter2", "https://h.org:81/a.mp4"),
        ("https://h.org/watch?v=abc&t=3&sig=hunter2", "https://h.org/watch?v=abc&t=3&sig=***"),
        ("https://h.org/a.mp4?X-Amz-Signature=hunter2&e=1", "https://h.org/a.mp4?X-Amz-Signature=***&e=***"),
        ("https://h.org/a.mp4?hunter2", "https://h.org/a.mp4?***"),
        ("https://h.org/a\x1b[31m.mp4", "https://h.org/a[31m.mp4"),
        ("https://me:hunter2@[::1/", "this address"),
    ],
)  # fmt: skip
def test_what_is_shown_has_no_secrets(url: str, seen: str) -> None:
    assert shown(url) == seen
    text = without_secrets(f"cannot open '{url}', gave up")
    assert "hunter2" not in text


METADATA = (
    *("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "169.254.170.2", "fd20:ce::254"),
    *("metadata.google.internal", "METADATA.google.internal.", "instance-data", "metadata"),
    *("0xa9fea9fe", "2852039166", "169.254.43518", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
)


@pytest.mark.parametrize("host", METADATA)
def test_a_clouds_metadata_is_no_video_whatever_is_allowed(host: str) -> None:
    with pytest.raises(AddressError, match="hands out"):
        reachable(host, 80, allow_private=True, resolve=lambda *_: ["10.0.0.1"])


def test_a_name_of_a_clouds_metadata_is_seen_through() -> None:
    with pytest.raises(AddressError, match="hands out"):
        reachable("a.example", 80, allow_private=True, resolve=lambda *_: ["169.254.169.254"])


@pytest.mark.parametrize("host", METADATA)
def test_a_clouds_metadata_is_no_model_server(host: str) -> None:
    inside = f"[{host}]" if ":" in host else host
    with pytest.raises(SettingsError, match="hands out"):
        ModelSpec.parse(f"openai:m@http://{inside}/v1")
    with pytest.raises(UnwantedError, match="hands out"):
        client(1.0).get(f"http://{inside}/v1")


@pytest.mark.parametrize("port", [22, 25, 6379, 9200, 11434, 8079])
def test_a_port_that_is_none_of_the_webs_is_refused(port: int) -> None:
    with pytest.raises(AddressError, match=f"port {port}") as caught:
        reachable(PUBLIC[0], port, allow_private=True)
    assert "download_ports" in caught.value.hint
    assert reachable(PUBLIC[0], port, allow_private=False, ports=(port,)) == [PUBLIC[0]]
    assert reachable("10.0.0.1", port, allow_private=True) == ["10.0.0.1"]


@pytest.mark.parametrize("port", [80, 443, 8080, 8443])
def test_a_port_of_the_web_is_not(port: int) -> None:
    assert reachable(PUBLIC[0], port, allow_private=False) == [PUBLIC[0]]


def test_ports_are_a_setting_that_a_strangers_file_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videoespresso.toml").write_text("[download]\nports = [22]\n")
    settings = Settings.load(environ={})
    assert settings.download_ports == WEB_PORTS
    assert "download_ports" in settings.warnings[0]
    loaded = Settings.load(environ={"VIDEOESPRESSO_DOWNLOAD_PORTS": "80, 9000"})
    assert loaded.download_ports == (80, 9000)
    with Client(loaded, resolve=lambda *_: [PUBLIC[0]]) as http:
        http.check("http://video.example:9000/a.mp4")
        with pytest.raises(AddressError, match="port 443"):
            http.check("https://video.example/a.mp4")


@pytest.mark.parametrize(
    ("host", "address", "refused"),
    [
        ("metadata.google.internal", "10.0.0.1", True),
        ("169.254.169.254.nip.io", "169.254.169.254", True),
        ("localhost", "127.0.0.1", False),
    ],
)
def test_an_mcp_server_is_no_clouds_metadata_by_name_or_by_address(
    host: str, address: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "resolved", lambda *_: [address])
    assert http.leads_to_metadata(host, 80) is refused
    monkeypatch.setattr(from_mcp, "_link", lambda _: pytest.fail("it is connected to"))
    monkeypatch.setattr(from_mcp.importlib.util, "find_spec", lambda _: True)
    if refused:
        with pytest.raises(SettingsError, match="hands out"):
            from_mcp.mcp_tools(f"mcp:http://{host}/mcp", {})
