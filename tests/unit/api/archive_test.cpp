// Tar archives of exports.
#include "gateway/api/archive.h"

#include "gateway/base/base.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::api;

TEST_CASE("files come back as they went") {
  const Files all[] = {
      {},
      {{"manifest.json", "{}"}},
      {{"empty", ""}, {"a", std::string(511, 'a')}, {"b", std::string(512, 'b')}, {"c", std::string(513, 'c')}},
      {{std::string(99, 'n'), std::string("\0\0\0", 3)}, {"big", std::string(1'000'000, 'x')}},
  };
  for (const auto& files : all) {
    const auto archive = write_tar(files);
    CHECK(archive.size() % 512 == 0);
    const auto back = read_tar(archive);
    REQUIRE(back);
    CHECK(*back == files);
  }
}

TEST_CASE("a header is POSIX's") {
  const auto archive = write_tar({{"name.csv", "12345"}});
  CHECK(archive.substr(0, 9) == std::string("name.csv\0", 9));
  CHECK(archive.substr(124, 12) == std::string("00000000005\0", 12));
  CHECK(archive.substr(257, 8) == std::string("ustar\0" "00", 8));
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(archive[i]);
  char want[9];
  std::snprintf(want, sizeof want, "%06o", sum);
  CHECK(archive.substr(148, 8) == std::string(want, 6) + std::string("\0 ", 2));
}

TEST_CASE("what is not such an archive is refused, or read no further than it goes") {
  CHECK_FALSE(read_tar(std::string(512, 'x')));
  CHECK_FALSE(read_tar("x"));
  CHECK_FALSE(read_tar("{\"error\":{}}"));
  const auto good = write_tar({{"a", std::string(600, 'a')}, {"b", "bb"}});
  for (std::size_t cut = 0; cut < good.size(); cut += 7) {
    INFO(cut);
    CHECK_FALSE(read_tar(good.substr(0, cut)));  // truncated: no end, or half a file
  }
  SeededRng rng(5);
  for (int i = 0; i < 3000; ++i) {
    auto bad = good;
    const auto at = rng.below(512);
    const char was = bad[at];
    bad[at] = static_cast<char>(rng.next());
    const auto read = read_tar(bad);  // any input is safe
    if (bad[at] == was) continue;
    INFO(at);
    CHECK_FALSE(read);  // the checksum covers the whole header
  }
  for (const char* const name : {"../up", "/etc/x", "a/b", ".", ".."}) CHECK_FALSE(read_tar(write_tar({{name, "x"}})));
  CHECK_FALSE(read_tar(good + std::string(512, '\0')));
  auto link = good;
  link[156] = '2';
  CHECK_FALSE(read_tar(link));
}
