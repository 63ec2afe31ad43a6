// Which files may be loaded.
#include "backends/devices/plugin_files.h"

#include "tests/catch.h"
#include "tests/unit/devices/trees.h"

using namespace trib::devices;
using trees::TempDir;

TEST_CASE("a plain file of this user in a closed folder may be loaded") {
  TempDir dir;
  dir.write("a.so", "x");
  ::chmod(dir.path("a.so").c_str(), 0644);
  CHECK(why_unsafe(dir.path("a.so")).empty());
}

TEST_CASE("what others can write is refused, file and folder") {
  TempDir dir;
  dir.write("a.so", "x");
  for (const mode_t mode : {0664, 0646}) {
    ::chmod(dir.path("a.so").c_str(), mode);
    CHECK(why_unsafe(dir.path("a.so")).find("can be written by others") != std::string::npos);
  }
  ::chmod(dir.path("a.so").c_str(), 0644);
  ::chmod(dir.path().c_str(), 0777);
  CHECK(why_unsafe(dir.path("a.so")).find("its folder can be written by others") != std::string::npos);
}

TEST_CASE("relative paths, folders and what is not there are refused") {
  TempDir dir;
  CHECK_FALSE(why_unsafe("plugins/a.so").empty());
  CHECK_FALSE(why_unsafe(dir.path()).empty());
  CHECK_FALSE(why_unsafe(dir.path("none.so")).empty());
  REQUIRE(find_plugins({"plugins"}).size() == 1);
  CHECK_FALSE(find_plugins({"plugins"})[0].unsafe.empty());
}

TEST_CASE("a link is judged by what it points to") {
  TempDir dir, open_dir;
  open_dir.write("b.so", "x");
  ::chmod(open_dir.path().c_str(), 0777);
  std::filesystem::create_symlink(open_dir.path("b.so"), dir.path("a.so"));
  CHECK_FALSE(why_unsafe(dir.path("a.so")).empty());
}

TEST_CASE("the first folder wins, and only libraries count") {
  TempDir first, second;
  first.write("a.so", "x");
  second.write("a.so", "y");
  second.write("b.so", "y");
  second.write("notes.txt", "y");
  const auto found = find_plugins({first.path(), first.path("none"), second.path()});
  REQUIRE(found.size() == 2);
  CHECK(found[0].path == std::filesystem::canonical(first.path("a.so")).string());
  CHECK(found[1].stem == "b");
}
