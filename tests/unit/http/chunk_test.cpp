#include <string>

#include "gateway/http/http.h"
#include "tests/catch.h"

using namespace trib::http;

namespace {
struct Outcome {
  ChunkReader::Status status = ChunkReader::Status::need_more;
  std::string body;
  std::string rest;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// Feeds `bytes` in pieces of at most `step`, the first of at most `first`.
Outcome decode(std::string_view bytes, std::size_t first, std::size_t step) {
  ChunkReader reader;
  Outcome outcome;
  while (!bytes.empty()) {
    std::string_view in = bytes.substr(0, first);
    bytes.remove_prefix(in.size());
    first = step;
    std::string_view data;
    while ((outcome.status = reader.next(in, data)) == ChunkReader::Status::data) {
      outcome.body.append(data);
    }
    if (outcome.status == ChunkReader::Status::bad) return outcome;
    if (outcome.status == ChunkReader::Status::done) {
      outcome.rest = std::string(in) + std::string(bytes);
      return outcome;
    }
    REQUIRE(in.empty());
  }
  return outcome;
}

void same_however_cut(std::string_view bytes, const Outcome& expected) {
  INFO(bytes);
  CHECK(decode(bytes, bytes.size(), bytes.size()) == expected);
  CHECK(decode(bytes, 1, 1) == expected);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut)
    CHECK(decode(bytes, cut, bytes.size()) == expected);
}
using S = ChunkReader::Status;
}  // namespace

TEST_CASE("chunks are joined and what follows the last one is left") {
  same_however_cut("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /",
                   {S::done, "hello world", "GET /"});
  same_however_cut("0\r\n\r\n", {S::done, "", ""});
  same_however_cut("A\r\n0123456789\r\n0000a\r\n0123456789\r\n000\r\n\r\n",
                   {S::done, "01234567890123456789", ""});
  same_however_cut("3;a;b=c;d=\"e;\\\"\"\r\nabc\r\n0;x\r\nT-A: b\r\nT-B:\tc\r\n\r\n",
                   {S::done, "abc", ""});
  same_however_cut("3\r\nab", {S::need_more, "ab", ""});
  same_however_cut("5\r\n\r\n\r\n0\r\n0\r\n\r\n", {S::done, "\r\n\r\n0", ""});
}

TEST_CASE("chunk sizes at the edges") {
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{15}, std::uint64_t{16},
                                   std::uint64_t{4096}, ~std::uint64_t{0}}) {
    char line[18];
    const std::size_t n = write_chunk_size(line, size);
    CHECK(std::stoull(std::string(line, n - 2), nullptr, 16) == size);
    CHECK(std::string_view(line + n - 2, 2) == "\r\n");
  }
  CHECK(decode("fffffffffffffff\r\nab", 99, 99) == Outcome{S::need_more, "ab", ""});
  CHECK(decode("10000000000000000\r\nab", 99, 99).status == S::bad);
  CHECK(decode("0000000000000005\r\nab", 99, 99).status == S::bad);
}

TEST_CASE("extensions and trailers are bounded") {
  const std::string line = "1;" + std::string(200, 'x') + "\r\na\r\n";
  CHECK(decode("1;" + std::string(300, 'x') + "\r\na\r\n", 9999, 9999).status == S::bad);
  std::string body;
  for (int i = 0; i < 60; ++i) body += line;
  const Outcome outcome = decode(body, 99, 99);
  CHECK(outcome.status == S::bad);
  CHECK(outcome.body.size() == 40);
  const std::string trailers = "0\r\nA: " + std::string(4000, 'x') + "\r\n\r\n";
  CHECK(decode(trailers, 9999, 9999).status == S::done);
  CHECK(
      decode("0\r\nB: " + std::string(90, 'y') + "\r\n" + trailers.substr(3), 9999, 9999).status ==
      S::bad);
}
