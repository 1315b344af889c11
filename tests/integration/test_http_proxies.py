"""Proxies of sources: the one named in the environment, and none for this machine."""

import select
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from staging_api.client.copies import CopiedFile, copy_at
from staging_api.errors import SourceFailed, SourceNotAllowed, SourceRefused
from staging_api.proxies import pools_by, proxy_for
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.bucket_pages import _http
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import parse
from staging_api.store.bucket import Bucket
from staging_api.store.bucket_objects import BucketObjects
from tests.http_server import http_server
from tests.scripted_http import Reply, scripted_http, served

BODY = bytes(range(256)) * 16
HOST = "depot.example"


def no_address(_host, _port):
    raise OSError("only the proxy resolves names")


def read(url, proxies, resolve=no_address, **options):
    chosen = SourceOptions(
        proxies=proxies, resolve=resolve, attempts=1, sleep=lambda _seconds: None, **options
    )
    source = open_archive(parse(f"{url}/b/R17"), AllowList.parse(url), chosen)
    try:
        with source.open(source.stat("a+b.bin")) as chunks:
            return b"".join(chunks)
    finally:
        source.close()


def test_a_proxy_is_told_the_whole_url_and_its_credential_goes_to_no_source():
    with scripted_http(lambda asked: served(BODY, asked, ETag='"1"')) as proxy:
        address = proxy.url.replace("http://", "http://user:p%40ss@")
        assert read(f"http://{HOST}", {"http": address}) == BODY
    assert {each.path for each in proxy.asked} == {f"http://{HOST}/b/R17/a%2Bb.bin"}
    assert {each.headers["host"] for each in proxy.asked} == {HOST}
    assert {each.headers["proxy-authorization"] for each in proxy.asked} == {
        "Basic dXNlcjpwQHNz"  # user:p@ss
    }


def test_https_goes_through_a_tunnel_and_proves_its_name(tmp_path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with http_server({"/b/R17/a+b.bin": BODY}, context) as server:
        with tunnel_to(server.url.rpartition(":")[2]) as proxy:
            options = {"ca_file": str(tmp_path / "ca.pem")}
            assert read(f"https://{HOST}", {"https": proxy.url}, **options) == BODY
    assert set(proxy.asked) == {f"CONNECT {HOST}:443"}
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:9"])
def test_a_proxy_that_is_not_there_or_of_another_kind_is_named(proxy):
    with pytest.raises(SourceFailed, match="proxy"):
        read(f"http://{HOST}", {"http": proxy})


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_credential_says_so_at_once(scheme):
    with scripted_http(lambda _asked: Reply(407)) as proxy:
        with pytest.raises(SourceRefused, match="407: the proxy needs a credential: user:pass"):
            read(f"{scheme}://{HOST}", {scheme: proxy.url})


@pytest.mark.parametrize(
    ("status", "retryable", "words"), [(403, False, "refuses to connect"), (502, True, "502")]
)
def test_what_a_proxy_answers_instead_of_a_tunnel_is_told(status, retryable, words):
    with scripted_http(lambda _asked: Reply(status)) as proxy:
        with pytest.raises(SourceFailed, match=words) as failed:
            read(f"https://{HOST}", {"https": proxy.url})
    assert failed.value.retryable == retryable
    assert HOST in failed.value.detail


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", HOST])
def test_what_leads_to_our_own_network_is_asked_of_no_proxy(host):
    def resolve(name, _port):
        return ["127.0.0.1"] if name == "127.0.0.1" else ["10.0.0.1"]

    with scripted_http(lambda asked: served(BODY, asked)) as proxy:

        def redirecting(asked):
            return Reply(302, headers={"Location": f"http://{host}/x"})

        with scripted_http(redirecting) as server:
            allowed = AllowList.parse(f"{server.url}, http://{HOST}")
            # The server itself is on loopback, and is therefore reached without the proxy.
            options = SourceOptions(proxies={"http": proxy.url}, resolve=resolve, attempts=1)
            source = open_archive(parse(f"{server.url}/b/R17"), allowed, options)
            with pytest.raises(SourceNotAllowed):
                source.stat("object.bin")
            source.close()
    assert proxy.asked == []


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_bucket_on_this_machine_is_asked_of_no_proxy_and_another_is(monkeypatch, variable):
    def script(asked):
        return served(BODY, asked, ETag='"1"', **{"Last-Modified": "Sun, 22 Nov 2026 02:38:51 GMT"})

    with scripted_http(script) as server, scripted_http(script) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        for endpoint, asked in ((server.url, server.asked), (f"http://{HOST}", proxy.asked)):
            options = SourceOptions(
                buckets={"gs": {"endpoint": endpoint}},
                anonymous=frozenset({"gs://builds"}),
                attempts=1,
            )
            allowed = AllowList.parse("gs://builds")
            source = open_archive(parse("gs://builds/R17"), allowed, options)
            with source.open(source.stat("object.bin")) as chunks:
                assert b"".join(chunks) == BODY
            assert len(asked) == 2
        assert len(server.asked) == 2


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_stores_and_exports_ask_no_proxy_for_a_bucket_on_this_machine(monkeypatch, variable):
    for name, value in (("KEY_ID", "key"), ("KEY", "secret")):
        monkeypatch.setenv(f"AWS_{'SECRET_' * (name == 'KEY')}ACCESS_{name}", value)
    with scripted_http(lambda _asked: Reply(404)) as server:
        with scripted_http(lambda _asked: Reply(404)) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            for endpoint, asked in ((server.url, server.asked), (f"http://{HOST}", proxy.asked)):
                # One request is the library's, the other is ours.
                objects = BucketObjects(Bucket.parse(f"s3://bucket?endpoint={endpoint}&region=r"))
                assert objects.head("key") is None
                objects.time()
                monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
                monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
                assert not copy_at("s3://bucket").has(CopiedFile("key", "", 1))
                assert len(asked) == 3, endpoint
            assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("host", "environment", "expected"),
    [
        (HOST, {"http": "proxy:3128"}, "http://proxy:3128"),
        (HOST, {"all": "http://proxy"}, "http://proxy"),
        (HOST, {"https": "http://proxy"}, None),
        (HOST, {"http": "http://proxy", "no": "other.example, .example"}, None),
        (HOST, {"http": "http://proxy", "no": "depot.example"}, None),
        (HOST, {"http": "http://proxy", "no": "*"}, None),
        (HOST, {"http": "http://proxy", "no": "t.example"}, "http://proxy"),
        (HOST, {"http": "http://proxy", "no": "DEPOT.example:80"}, None),
        (HOST, {"http": "http://proxy", "no": "depot.example:81 , ,"}, "http://proxy"),
        ("10.1.2.3", {"http": "http://proxy", "no": "10.0.0.0/8"}, None),
        ("11.1.2.3", {"http": "http://proxy", "no": "10.0.0.0/8"}, "http://proxy"),
        ("127.0.0.2", {"http": "http://proxy"}, None),
        ("::1", {"http": "http://proxy"}, None),
        ("10.1.2.3", {"http": "http://proxy", "no": "10.1.2.3:80"}, None),
        ("fd00::80", {"http": "http://proxy", "no": "fd00::80"}, None),
        ("fd00::80", {"http": "http://proxy", "no": "[fd00::80]:80"}, None),
        ("fd00::80", {"http": "http://proxy", "no": "fd00::"}, "http://proxy"),
        ("localhost", {"http": "http://proxy"}, None),
        (HOST, {}, None),
    ],
)
def test_the_environment_selects_the_proxy(host, environment, expected):
    assert proxy_for("http", host, 80, environment) == expected


@pytest.mark.parametrize(
    ("proxy", "port"),
    [("http://proxy.test", 80), ("https://proxy.test", 443), ("http://proxy.test:3128", 3128)],
)
def test_a_proxy_without_a_port_has_that_of_its_scheme(proxy, port):
    with pools_by(proxy) as pools:
        assert pools.proxy is not None
        assert pools.proxy.port == port


@pytest.mark.parametrize(("address", "port"), [("http://s3.test", 80), ("https://s3.test", 443)])
def test_the_list_of_a_bucket_is_asked_for_through_the_proxy_unless_its_port_is_excepted(
    address, port
):
    scheme = address.partition(":")[0]
    for excepted, used in ((f"s3.test:{port}", False), (f"s3.test:{port + 1}", True)):
        options = SourceOptions(proxies={scheme: "http://proxy.test", "no": excepted})
        with _http(address, options) as pools:
            assert (pools.proxy is not None) == used


def test_the_options_read_the_environment(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    proxies = SourceOptions().proxies
    assert proxy_for("https", HOST, 443, proxies) == "http://proxy:3128"
    assert proxy_for("https", "x.inside.example", 443, proxies) is None


class Tunnel:
    """A proxy that forwards every connection to one port of this machine."""

    def __init__(self, port):
        self.port = port
        self.url = ""
        self.asked = []


@contextmanager
def tunnel_to(port):
    tunnel = Tunnel(int(port))

    class Answer(BaseHTTPRequestHandler):
        def do_CONNECT(self):
            tunnel.asked.append(f"CONNECT {self.path}")
            self.send_response_only(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", tunnel.port)) as there:
                ends = {self.connection: there, there: self.connection}
                while True:
                    for end in select.select(list(ends), [], [])[0]:
                        if not (data := end.recv(1 << 16)):
                            self.close_connection = True
                            return
                        ends[end].sendall(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    tunnel.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield tunnel
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
