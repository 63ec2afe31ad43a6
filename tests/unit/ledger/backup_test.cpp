#include "gateway/ledger/backup.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "gateway/ledger/verify.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

void request(World& world, Rng& rng, std::int64_t n) {
  const auto final = test::random_final(rng, noon + n);
  world.journal.append(final.admit);
  world.journal.append(final);
  if (rng.below(40) == 0) world.ledger->topup("acme", "t" + std::to_string(n), money::Amount::pico(7), noon + n);
}

std::vector<Sha256> seals(World& world) {
  std::vector<Sha256> out;
  std::string why;
  const auto reader = Reader::open(world.path(), "", why);
  REQUIRE(reader);
  reader->batches([&](const BatchRow& row) {
    out.push_back(row.hash);
    return true;
  });
  return out;
}

void drop_store(const World& world) {
  for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(world.path() + ending);
}

BackupOptions options_for(const World& world, const std::string& dir) {
  BackupOptions out;
  out.store = world.path();
  out.dir = world.dir.file(dir);
  out.step_pages = 2;
  return out;
}

}  // namespace

TEST_CASE("a copy that is taken amid the load gives, put back, the same seals", "[sqlite]") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    World world;
    world.start();
    SeededRng rng(seed);
    std::int64_t n = 0;
    for (; n < 300; ++n) {
      request(world, rng, n);
      if (rng.below(20) == 0) world.ledger->post_once();
    }
    world.post_all();
    const metering::Lsn began = world.ledger->posted();
    auto options = options_for(world, "copy");
    int steps = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t all) {  // the poster posts between the pages
      CHECK(done <= all);
      request(world, rng, ++n);
      world.ledger->post_once();
      return ++steps > 0;
    };
    std::string why;
    const auto made = make_backup(system_disk(), options, noon, why);
    INFO(why);
    REQUIRE(made);
    CHECK(steps > 5);
    CHECK(made->lsn == began);
    CHECK(world.ledger->posted() > began);
    CHECK(check_backup(system_disk(), options.dir, why) == made);
    for (int more = 0; more < 100; ++more) {
      request(world, rng, ++n);
      if (rng.below(9) == 0) world.ledger->post_once();
    }
    world.post_all();
    const auto before = seals(world);
    REQUIRE(before.size() > made->batch);
    CHECK(before[made->batch - 1] == made->head);

    world.ledger.reset();
    drop_store(world);
    std::filesystem::copy_file(options.dir + "/ledger.db", world.path());
    world.batch_max = 1 + rng.below(50);
    world.open();
    CHECK(world.ledger->posted() == made->lsn);
    world.post_all();
    CHECK(seals(world) == before);
    const Verdict verdict = verify(world.path(), "", 0, &world.journal);
    INFO(verdict.place << ": " << verdict.why);
    CHECK(verdict.ok);
  }
}

TEST_CASE("a backup that is killed never looks whole, and the next one takes its place", "[sqlite]") {
  World world;
  world.start();
  SeededRng rng(7);
  for (std::int64_t n = 0; n < 200; ++n) request(world, rng, n);
  world.post_all();
  world.ledger.reset();
  const auto options = options_for(world, "copy");
  std::string why;
  int killed = 0;
  for (int at = 1; at < 400; at += 1 + at / 4) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto mine = options;
      int steps = 0;
      mine.progress = [&](std::uint64_t, std::uint64_t) {
        if (++steps == at) raise(SIGKILL);
        return true;
      };
      std::string ignored;
      _exit(make_backup(system_disk(), mine, noon, ignored) ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      break;
    }
    ++killed;
    CHECK_FALSE(check_backup(system_disk(), options.dir, why));
    CHECK_FALSE(std::filesystem::exists(options.dir + "/ledger.db"));
  }
  CHECK(killed > 3);
  CHECK(check_backup(system_disk(), options.dir, why));
}

TEST_CASE("whatever a disk refuses, there is a whole backup or none", "[sqlite]") {
  World world;
  world.start();
  SeededRng rng(8);
  for (std::int64_t n = 0; n < 30; ++n) request(world, rng, n);
  world.post_all();
  // Fails the nth call of the disk: what is written by SQLite itself does not pass here.
  struct Failing final : Disk {
    int left = 0;
    std::error_code turn() { return left-- == 0 ? std::make_error_code(std::errc::io_error) : std::error_code{}; }
    std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) override {
      const auto ec = turn();
      return ec ? ec : system_disk().open(path, mode, out);
    }
    std::error_code remove(const std::string& path) override {
      const auto ec = turn();
      return ec ? ec : system_disk().remove(path);
    }
    std::error_code rename(const std::string& from, const std::string& to) override {
      const auto ec = turn();
      return ec ? ec : system_disk().rename(from, to);
    }
    std::error_code make_dirs(const std::string& path) override {
      const auto ec = turn();
      return ec ? ec : system_disk().make_dirs(path);
    }
    std::error_code list(const std::string& dir, std::vector<std::string>& names) override { return system_disk().list(dir, names); }
    std::error_code sync_dir(const std::string& dir) override {
      const auto ec = turn();
      return ec ? ec : system_disk().sync_dir(dir);
    }
  } disk;
  int whole = 0;
  for (int at = 0; at < 40; ++at) {
    auto options = options_for(world, "copy" + std::to_string(at));
    disk.left = at;
    std::string why, ignored;
    const auto made = make_backup(disk, options, noon, why);
    CHECK((made || !why.empty()));
    if (made) CHECK(check_backup(system_disk(), options.dir, ignored));
    whole += made ? 1 : 0;
  }
  CHECK(whole > 5);
}

TEST_CASE("a folder with a backup is not overwritten, and a copy that was altered is refused", "[sqlite]") {
  World world;
  world.start();
  const auto options = options_for(world, "copy");
  std::string why;
  const auto made = make_backup(system_disk(), options, noon, why);
  REQUIRE(made);
  CHECK_FALSE(make_backup(system_disk(), options, noon, why));
  CHECK(why.find("name another folder") != std::string::npos);
  std::string bytes;
  const std::string copy = options.dir + "/ledger.db";
  REQUIRE_FALSE(read_file(system_disk(), copy, bytes));
  bytes[bytes.size() / 2] ^= 1;
  REQUIRE_FALSE(write_file(system_disk(), copy, bytes));
  CHECK_FALSE(check_backup(system_disk(), options.dir, why));
  CHECK(why.find("not what the manifest says") != std::string::npos);
  std::filesystem::remove(options.dir + "/manifest.json");
  CHECK_FALSE(check_backup(system_disk(), options.dir, why));

  auto given_up = options_for(world, "given-up");
  given_up.progress = [](std::uint64_t, std::uint64_t) { return false; };
  CHECK_FALSE(make_backup(system_disk(), given_up, noon, why));
  CHECK_FALSE(std::filesystem::exists(given_up.dir + "/ledger.db.part"));
  CHECK_FALSE(make_backup(system_disk(), {.store = world.dir.file("none.db"), .vfs = {}, .dir = world.dir.file("x"), .progress = {}}, noon, why));
}

TEST_CASE("the record of backups only moves forward", "[sqlite]") {
  test::TempDir dir;
  const std::string path = dir.file("backup.json");
  CHECK_FALSE(remembered_backup(system_disk(), path));
  Backup first;
  first.lsn = 100;
  first.made_ms = noon;
  first.sha256 = sha256("x");
  REQUIRE_FALSE(remember_backup(system_disk(), path, first, "/copies/\"one\""));
  CHECK(remembered_backup(system_disk(), path) == first);
  Backup older = first;
  older.lsn = 99;
  REQUIRE_FALSE(remember_backup(system_disk(), path, older, "/copies/two"));
  CHECK(remembered_backup(system_disk(), path) == first);
  REQUIRE_FALSE(write_file(system_disk(), path, "{"));
  CHECK_FALSE(remembered_backup(system_disk(), path));
}
