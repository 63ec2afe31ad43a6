#include "gateway/http/http.h"
#include "tests/catch.h"

using namespace trib::http;

namespace {
struct Read {
  HeadStatus status;
  RequestHead head;
  std::size_t used = 0;
  HeadRefusal why;
};
Read request(HeadReader& reader, std::string_view bytes) {
  Read r;
  r.status = reader.request(bytes, r.head, r.used, r.why);
  return r;
}
struct ReadResponse {
  HeadStatus status;
  ResponseHead head;
  std::size_t used = 0;
  HeadRefusal why;
};
ReadResponse response(HeadReader& reader, std::string_view bytes, bool to_head = false) {
  ReadResponse r;
  r.status = reader.response(bytes, to_head, r.head, r.used, r.why);
  return r;
}
}  // namespace

TEST_CASE("a request head is taken apart in place") {
  HeadReader reader;
  const std::string_view bytes =
      "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gw.example:8080\r\n"
      "Content-Type:  application/json \r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
      "Expect: 100-continue\r\nTE: trailers\r\ncontent-length: 12\r\n\r\nhello";
  const Read r = request(reader, bytes);
  REQUIRE(r.status == HeadStatus::ok);
  CHECK(bytes.substr(r.used) == "hello");
  CHECK(r.head.method == "POST");
  CHECK(r.head.target == "/v1/chat/completions?a=b");
  CHECK(r.head.path == "/v1/chat/completions");
  CHECK(r.head.query == "a=b");
  CHECK(r.head.host == "gw.example:8080");
  CHECK(r.head.minor == 1);
  CHECK(r.head.keep_alive);
  CHECK(r.head.expect_continue);
  CHECK(r.head.framing == Framing::length);
  CHECK(r.head.length == 12);
  CHECK(r.head.find("content-type") == "application/json");
  // Hop-by-hop fields and those that Connection names are gone.
  REQUIRE(r.head.fields.size() == 3);
  CHECK(r.head.find("x-hop").empty());
  CHECK(r.head.find("te").empty());
}

TEST_CASE("one reader reads head after head and forgets the one before") {
  HeadReader reader;
  CHECK(request(reader, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n").status == HeadStatus::ok);
  const Read r = request(reader, "\r\nGET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  REQUIRE(r.status == HeadStatus::ok);
  CHECK(r.head.fields.empty());
  CHECK(r.head.host.empty());
  CHECK(r.head.query.empty());
  CHECK(r.head.keep_alive);
  CHECK(r.head.framing == Framing::none);
}

TEST_CASE("an absolute target that names the Host is cut to its origin form") {
  HeadReader reader;
  CHECK(
      request(reader, "GET HTTP://A.example/x?y HTTP/1.1\r\nHost: a.EXAMPLE\r\n\r\n").head.target ==
      "/x?y");
  CHECK(request(reader, "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").head.target == "/");
  CHECK(request(reader, "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").head.target == "*");
  CHECK(request(reader, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n").status == HeadStatus::refused);
  CHECK(request(reader, "GET http://a/ HTTP/1.0\r\n\r\n").status == HeadStatus::refused);
}

TEST_CASE("response heads say how their body ends") {
  HeadReader reader;
  auto r = response(reader, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  REQUIRE(r.status == HeadStatus::ok);
  CHECK(r.head.status == 200);
  CHECK(r.head.framing == Framing::length);
  CHECK(r.head.length == 5);
  CHECK(r.head.keep_alive);
  r = response(reader,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n");
  CHECK(r.head.framing == Framing::chunked);
  CHECK_FALSE(r.head.keep_alive);
  r = response(reader, "HTTP/1.1 200 \r\n\r\n");
  REQUIRE(r.status == HeadStatus::ok);
  CHECK(r.head.framing == Framing::until_close);
  CHECK_FALSE(r.head.keep_alive);
  r = response(reader, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
  CHECK(r.head.framing == Framing::none);
  CHECK(response(reader, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").head.framing ==
        Framing::none);
  CHECK(response(reader, "HTTP/1.1 100 Continue\r\n\r\n").head.framing == Framing::none);
  CHECK_FALSE(response(reader, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").head.keep_alive);
  CHECK(response(reader, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")
            .head.keep_alive);
}

TEST_CASE("response heads are read as strictly as requests") {
  HeadReader reader;
  for (const std::string_view bytes : {
           "HTTP/1.1 200\r\n\r\n",
           "HTTP/1.1 2000 OK\r\n\r\n",
           "HTTP/1.1 600 OK\r\n\r\n",
           "HTTP/1.1 099 OK\r\n\r\n",
           "HTTP/1.1  200 OK\r\n\r\n",
           "HTTP/2.0 200 OK\r\n\r\n",
           "HTTP/1.2 200 OK\r\n\r\n",
           "http/1.1 200 OK\r\n\r\n",
           "ICY 200 OK hello\r\n\r\n",
           "\r\nHTTP/1.1 200 OK\r\n\r\n",
           "HTTP/1.1 200 O\x01K\r\n\r\n",
           "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
           "HTTP/1.1 101 Switching\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
           "HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
           "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\n",
       }) {
    INFO(bytes);
    const auto r = response(reader, bytes);
    CHECK(r.status == HeadStatus::refused);
    CHECK(r.why.status == 502);
    reader.reset();
  }
}

TEST_CASE("writers make heads that the reader takes") {
  std::string out;
  write_status_line(out, 503);
  write_field(out, "Retry-After", 7);
  write_field(out, "X-Big", 18446744073709551615u);
  write_field(out, "X-Zero", 0);
  CHECK(out ==
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nX-Big: "
        "18446744073709551615\r\nX-Zero: 0\r\n");
  CHECK(valid_field("X-A", "b\tc \xe4"));
  CHECK_FALSE(valid_field("X-A", "b\r\nX-B: c"));
  CHECK_FALSE(valid_field("X-A", std::string_view("b\0c", 3)));
  CHECK_FALSE(valid_field("X A", "b"));
  CHECK_FALSE(valid_field("", "b"));
}
