"""Settings: four layers, each value with its source, and no secrets."""

import os
from pathlib import Path

import platformdirs
import pytest

from videoespresso import settings_file
from videoespresso.errors import SettingsError
from videoespresso.settings import (
    FILE_ONLY,
    KNOWN,
    MODEL,
    PREFIX,
    Settings,
    cache_dir,
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `videoespresso.toml` in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "videoespresso.toml"
    path.write_text("")
    monkeypatch.setattr(settings_file, "trusted", lambda sha, environ: True)
    return path


def test_given_beats_environment_beats_file_beats_default(file: Path) -> None:
    file.write_text('fps = 2\ntau = 0.5\nmax_side = 256\nprofile = "local"\n')
    environ = {"VIDEOESPRESSO_TAU": "0.6", "VIDEOESPRESSO_MAX_SIDE": "320"}
    settings = Settings.load({"max_side": 512, "select": None}, environ=environ)
    assert (settings.fps, settings.tau, settings.max_side) == (2.0, 0.6, 512)
    assert settings.select == "auto"
    assert settings.source("fps") == str(file)
    assert settings.source("tau") == "VIDEOESPRESSO_TAU"
    assert settings.source("max_side") == "given"
    assert settings.source("select") == "default"


def test_every_key_can_be_set_in_the_environment() -> None:
    environ = {PREFIX + key.upper(): "1" for key in KNOWN}
    words = {"MAX_SIDE": "64", "STAGES": "one", "LOOK": "fast", "DECODER": "pyav"}
    settings = Settings.load(environ=environ | {PREFIX + key: w for key, w in words.items()})
    assert set(settings.sources) == set(KNOWN) - {*FILE_ONLY, MODEL}  # which is the roles
    assert [FILE_ONLY[0] in warning for warning in settings.warnings] == [True]
    assert settings.one_image is True
    assert settings.budget_calls == 1


def test_a_budget_table_and_flat_keys_are_the_same(file: Path) -> None:
    file.write_text("[budget]\nusd = 0.5\nframes = 100\n")
    settings = Settings.load(environ={})
    assert (settings.budget_usd, settings.budget_frames) == (0.5, 100)


def test_limits_of_downloads_may_be_a_table_too(file: Path) -> None:
    file.write_text("allow_private_addresses = true\n[download]\nmax_bytes = 1000\nstall_s = 5\n")
    settings = Settings.load(environ={"VIDEOESPRESSO_DOWNLOAD_STALL_S": "6"})
    assert (settings.download_max_bytes, settings.download_stall_s) == (1000, 6.0)
    assert settings.allow_private_addresses
    file.write_text("download = 5\n")
    with pytest.raises(SettingsError, match="is a table"):
        Settings.load(environ={})


@pytest.mark.parametrize(
    ("text", "near"),
    [("capshioner = 'x'", "captioner"), ("[budget]\nuds = 1", "budget_usd"), ("tua = 1", "tau")],
)
def test_an_unknown_key_in_the_file_names_the_nearest(file: Path, text: str, near: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match="unknown setting") as caught:
        Settings.load(environ={})
    assert near in caught.value.hint


def test_an_unknown_variable_is_a_warning() -> None:
    settings = Settings.load(environ={"VIDEOESPRESSO_CAPTOINER": "embedded:"})
    (warning,) = settings.warnings
    assert "VIDEOESPRESSO_CAPTIONER" in warning


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"fps": "fast"}, "fps"),
        ({"fps": 0}, "fps"),
        ({"max_side": 2}, "max_side"),
        ({"tau": 1.5}, "tau"),
        ({"budget_calls": "many"}, "budget_calls"),
        ({"one_image": "perhaps"}, "one_image"),
    ],
)
def test_a_value_that_does_not_fit_names_its_key_and_source(
    values: dict[str, object], key: str
) -> None:
    with pytest.raises(SettingsError, match=rf"`{key}`.*\(given\)"):
        Settings.load(values, environ={})


@pytest.mark.parametrize("content", [b"fps = ", b"\xff\xfe"])
def test_a_broken_file_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"videoespresso\.toml"):
        Settings.load(environ={})


@pytest.mark.parametrize(
    "values",
    [
        {"reasoner": "openai:m@http://me:hunter2222@host/v1"},
        {"reasoner": "openai:gpt-4o sk-hunter2222"},
        {"captioner": "openai:m@https://h/v1?api_key=hunter2222"},
        {"openai_api_key": "hunter2222"},
    ],
)
def test_secrets_are_refused_and_not_repeated(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(values, environ={})
    assert "hunter2222" not in str(caught.value)
    assert "OPENAI_API_KEY" in caught.value.hint


def test_a_key_in_the_environment_does_not_enter_the_settings() -> None:
    environ = {"OPENAI_API_KEY": "sk-planted-12345678", "VIDEOESPRESSO_PROFILE": "openai"}
    assert "planted" not in repr(Settings.load(environ=environ))


def test_the_file_here_beats_the_one_in_the_config_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *a, **k: config)
    (config / "videoespresso.toml").write_text("fps = 3")
    assert settings_file.find_file() == file
    file.unlink()
    assert Settings.load(environ={}).fps == 3.0
    (config / "videoespresso.toml").unlink()
    assert settings_file.find_file() is None


def test_the_cache_folder_is_named_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "c"))
    assert cache_dir() == tmp_path / "c"
    assert Settings.load().cache_dir == tmp_path / "c"
    assert not (tmp_path / "c").exists()
    monkeypatch.delenv("VIDEOESPRESSO_CACHE_DIR")
    assert cache_dir() == platformdirs.user_cache_path("videoespresso", appauthor=False)
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", "~/c")
    assert cache_dir() == Path(os.path.expanduser("~/c"))


def test_the_models_folder_is_named_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_MODELS_DIR", str(tmp_path / "m"))
    assert Settings.load().models_dir == tmp_path / "m"
    assert not (tmp_path / "m").exists()
    monkeypatch.delenv("VIDEOESPRESSO_MODELS_DIR")
    data = platformdirs.user_data_path("videoespresso", appauthor=False)
    assert Settings.load().models_dir == data / "models"
    assert Settings.load({"models_dir": "~/m"}).models_dir == Path(os.path.expanduser("~/m"))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings(), "fps", 3.0)  # noqa: B010 - mypy refuses the plain form, as it should


def test_tools_are_a_list_in_the_file_and_commas_in_the_environment(file: Path) -> None:
    file.write_text('tools = ["count", "my_package:Ocr"]\n')
    assert Settings.load(environ={}).tools == ("count", "my_package:Ocr")
    environ = {"VIDEOESPRESSO_TOOLS": "count, track,"}
    assert Settings.load(environ=environ).tools == ("count", "track")
    file.write_text('tools = ["x?token=abc"]\n')
    with pytest.raises(SettingsError, match="carries a key"):
        Settings.load(environ={})


MCP = """
[mcp.weather]
command = "python"
args = ["server.py"]
env = {WEATHER_KEY = "${WEATHER_KEY}"}

[mcp.maps]
url = "https://maps.example/mcp"
headers = {Authorization = "Bearer ${MAPS_TOKEN}"}
timeout_s = 5
"""


def test_mcp_servers_are_tables_of_the_file(file: Path) -> None:
    file.write_text(MCP)
    servers = Settings.load(environ={}).mcp
    assert servers["weather"].args == ("server.py",)
    assert servers["maps"].timeout_s == 5
    assert servers["maps"].headers == {"Authorization": "Bearer ${MAPS_TOKEN}"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcp.w]\ncommand = 'x'\nurl = 'http://h/mcp'", "either `command`"),
        ("[mcp.w]\nargs = ['x']", "either `command`"),
        ("[mcp.w]\nurl = 'ftp://h/mcp'", "mcp.w.url"),
        ("[mcp.w]\nurl = 'http://h/mcp'\nheaders = {X-Api-Key = 'hunter2hunter2'}", "X-Api-Key"),
        ("[mcp.w]\ncommand = 'x'\nenv = {SOME_TOKEN = 'hunter2hunter2'}", "SOME_TOKEN"),
        ("[mcp.w]\nurl = 'http://me:hunter2hunter2@h/mcp'", "carries a key or a password"),
        ("[mcp.w]\ncomand = 'x'", "comand"),
    ],
)
def test_a_wrong_mcp_server_is_told_and_no_secret_is_quoted(
    file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        Settings.load(environ={})
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
