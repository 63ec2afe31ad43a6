// Differential test: what our reader accepts, written anew in canonical form, is to an independent
// parser the same single request. Inputs are the corpus and mutations of it.
#include <boost/beast/http.hpp>
#include <map>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "tests/catch.h"
#include "tests/corpus/corpus.h"
#include "tests/corpus/front.h"

using namespace trib;
namespace beast = boost::beast;

namespace {

// The request with its field lines sorted by name, those of one name in their order: Beast keeps
// the fields of one name together.
std::string by_name(const std::string& request) {
  std::multimap<std::string, std::string> lines;
  const std::size_t first = request.find("\r\n") + 2;
  std::size_t at = first;
  while (request.compare(at, 2, "\r\n") != 0) {
    const std::size_t end = request.find("\r\n", at) + 2;
    const std::string line = request.substr(at, end - at);
    lines.emplace(line.substr(0, line.find(':')), line);
    at = end;
  }
  std::string out = request.substr(0, first);
  for (const auto& [name, line] : lines) out += line;
  return out + request.substr(at);
}

// Empty when Beast reads `request` as one whole request that, written in canonical form, is
// `request` again; else what went wrong.
std::string differs(const std::string& request) {
  beast::http::request_parser<beast::http::string_body> parser;
  parser.header_limit(64u << 10);
  parser.body_limit(32u << 20);
  parser.eager(true);
  beast::error_code ec;
  std::size_t used = 0;
  while (!ec && !parser.is_done() && used < request.size()) {
    const std::size_t n =
        parser.put(boost::asio::buffer(request.data() + used, request.size() - used), ec);
    if (n == 0) break;
    used += n;
  }
  if (ec) return ec.message();
  if (!parser.is_done()) return "not done";
  if (used != request.size()) return "bytes left over";
  const auto& message = parser.get();
  std::string again(message.method_string());
  again.append(" ").append(message.target()).append(" HTTP/1.1\r\n");
  for (const auto& field : message) {
    http::write_field(again, std::string_view(field.name_string()),
                      std::string_view(field.value()));
  }
  again.append("\r\n").append(message.body());
  again = by_name(again);
  return again == by_name(request) ? "" : "read otherwise:\n" + again;
}

// The canonical form is its own canonical form. (Without a Host, from HTTP/1.0, it is refused.)
bool reads_back(const std::string& request) {
  corpus::Front front;
  front.feed(request);
  if (request.compare(request.find("\r\n"), 8, "\r\nhost: ") != 0)
    return front.end() == "refuse 400";
  return front.end() == "open" && front.served() == std::vector<std::string>{request};
}

std::string mutate(std::string text, SeededRng& rng) {
  static const std::vector<std::string> pieces = {"\r",
                                                  "\n",
                                                  "\r\n",
                                                  " ",
                                                  "\t",
                                                  ":",
                                                  ",",
                                                  ";",
                                                  std::string(1, '\0'),
                                                  "0",
                                                  "5",
                                                  "a",
                                                  "\x7f",
                                                  "\x80",
                                                  "%2e",
                                                  "/",
                                                  "..",
                                                  "?",
                                                  "#",
                                                  "Content-Length: 5\r\n",
                                                  "Transfer-Encoding: chunked\r\n",
                                                  "Connection: X-A\r\n",
                                                  "X-A: b\r\n",
                                                  "0\r\n\r\n",
                                                  "\r\n\r\n"};
  for (std::uint64_t times = 1 + rng.below(3); times > 0 && !text.empty(); --times) {
    const std::size_t at = rng.below(text.size());
    switch (rng.below(5)) {
      case 0:
        text[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        text.erase(at, 1 + rng.below(3));
        break;
      case 2:
        text.insert(at, pieces[rng.below(pieces.size())]);
        break;
      case 3:
        text.insert(at, text.substr(rng.below(text.size()), rng.below(40)));
        break;
      default: {
        // A piece at the start of a line, where fields are.
        const std::size_t line = text.find('\n', at);
        if (line != text.npos) text.insert(line + 1, pieces[rng.below(pieces.size())]);
      }
    }
  }
  return text;
}

}  // namespace

TEST_CASE("what is served reads the same to a second parser") {
  std::size_t served = 0;
  for (const corpus::Case& c : corpus::load("tests/corpus/http")) {
    for (const std::string& request : c.want) {
      INFO(c.name << "\n" << request);
      CHECK(differs(request) == "");
      ++served;
    }
  }
  CHECK(served > 80);
}

TEST_CASE("what is served of mutated requests reads the same to a second parser") {
  const std::vector<corpus::Case> cases = corpus::load("tests/corpus/http");
  SeededRng rng(20260102);
  std::size_t served = 0;
  std::size_t refused = 0;
  for (int round = 0; round < 40; ++round) {
    for (const corpus::Case& c : cases) {
      if (c.send.size() > 2048) continue;
      const std::string bytes = mutate(c.send, rng);
      corpus::Front whole;
      whole.feed(bytes);
      corpus::Front cut;
      const std::size_t at = rng.below(bytes.size() + 1);
      cut.feed(std::string_view(bytes).substr(0, at));
      cut.feed(std::string_view(bytes).substr(at));
      if (cut.end() != whole.end() || cut.served() != whole.served())
        FAIL_CHECK("cut at " << at << ":\n" << bytes);
      for (const std::string& request : whole.served()) {
        const std::string how = differs(request);
        if (!reads_back(request)) FAIL_CHECK("canonical form reads otherwise:\n" << request);
        if (!how.empty()) FAIL_CHECK(how << "\n" << bytes);
        ++served;
      }
      if (whole.end().starts_with("refuse")) ++refused;
    }
  }
  CHECK(served > 1000);
  CHECK(refused > 10000);
}
