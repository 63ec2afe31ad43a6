#include "tests/support/postgres.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "gateway/ledger/schema.h"
#include "gateway/ledger/sql.h"

namespace trib::test {
namespace {

constexpr const char* user = "postgres";   // the package's, and the superuser of this server
constexpr const char* role = "tributary";  // the gateway

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "postgres: %s\n", why.c_str());
  std::exit(2);
}

std::string newest_binaries() {
  std::string out;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", none))
    if (std::filesystem::exists(entry.path() / "bin/initdb") && entry.path().string() > out) out = entry.path();
  if (out.empty()) give_up("there is no /usr/lib/postgresql/*/bin/initdb: run tools/install");
  return out + "/bin";
}

void must(ledger::Connection& db, const std::string& sql) {
  if (!db.run(sql.c_str())) give_up(sql + ": " + db.error());
}

void connect(ledger::Connection& db, const std::string& url) {
  std::string why;
  if (!db.open(url, {}, ledger::Connection::Mode::write, why)) give_up(why);
}

}  // namespace

std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) out += c == '/' ? std::string("%2F") : std::string(1, c);
  return out;
}

bool Postgres::wanted() {
  const char* const store = std::getenv("TRIBUTARY_TEST_STORE");
  return store != nullptr && std::string_view(store) == "postgres";
}

Postgres& Postgres::instance() {
  const std::filesystem::path memory = "/dev/shm";
  std::error_code none;
  const auto base = std::filesystem::is_directory(memory, none) ? memory : std::filesystem::temp_directory_path();
  static Postgres one((base / ("trib-postgres-" + std::to_string(getpid()))).string(), false);
  return one;
}

Postgres::Postgres(const std::string& dir, bool fsync) : dir_(dir), bin_(newest_binaries()), as_other_(getuid() == 0), fsync_(fsync) {
  std::filesystem::create_directories(dir_);
  if (as_other_ && std::system(("chown " + std::string(user) + " " + dir_).c_str()) != 0) give_up(dir_ + ": no user postgres");
  run_as_server(bin_ + "/initdb -D " + dir_ + "/data -A trust -U " + user + " -E UTF8 --no-locale --no-sync >" + dir_ + "/initdb.log 2>&1");
  start();
  ledger::Connection db;
  connect(db, owner_url("postgres"));
  must(db, std::string("CREATE ROLE ") + role + " LOGIN");
  must(db, "CREATE DATABASE prepared");
  std::string why;
  if (!ledger::set_up(owner_url("prepared"), role, why)) give_up(why);
}

Postgres::~Postgres() {
  stop();
  std::error_code none;
  std::filesystem::remove_all(dir_, none);
}

void Postgres::run_as_server(const std::string& command) const {
  const std::string prefix = as_other_ ? std::string("setpriv --reuid=") + user + " --regid=" + user + " --clear-groups " : std::string();
  if (std::system((prefix + command).c_str()) != 0) give_up("failed: " + command);
}

void Postgres::start() {
  int log[2];
  if (pipe2(log, O_CLOEXEC) != 0) give_up("no pipe");
  server_ = fork();
  if (server_ == 0) {
    dup2(log[1], STDERR_FILENO);
    std::vector<std::string> words;
    if (as_other_)
      words = {"setpriv", std::string("--reuid=") + user, std::string("--regid=") + user, "--clear-groups", "--pdeathsig=QUIT"};
    for (const std::string& word : {bin_ + "/postgres", std::string("-D"), dir_ + "/data", std::string("-k"), dir_}) words.push_back(word);
    for (const char* setting : {"listen_addresses=", "max_connections=60", "max_wal_senders=0", "wal_level=minimal", "lc_messages=C"})
      words.insert(words.end(), {"-c", setting});
    if (!fsync_)
      for (const char* setting : {"fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=24MB"}) words.insert(words.end(), {"-c", setting});
    else
      for (const char* setting : {"shared_buffers=256MB", "max_wal_size=4GB"}) words.insert(words.end(), {"-c", setting});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(log[1]);
  std::string said;
  char piece[4096];
  while (said.find("ready to accept connections") == std::string::npos) {
    const ssize_t got = read(log[0], piece, sizeof piece);
    if (got <= 0) give_up("the server ended: " + said);
    said.append(piece, static_cast<std::size_t>(got));
  }
  // What it says from now on is of errors that tests provoke.
  std::thread([fd = log[0]] {
    char rest[4096];
    while (read(fd, rest, sizeof rest) > 0) {
    }
    close(fd);
  }).detach();
}

void Postgres::stop() {
  if (server_ <= 0) return;
  kill(server_, SIGQUIT);
  int status = 0;
  waitpid(server_, &status, 0);
  server_ = -1;
}

std::string Postgres::make_database() {
  ledger::Connection db;
  connect(db, owner_url("postgres"));
  const std::string name = "w" + std::to_string(++databases_);
  must(db, "CREATE DATABASE " + name + " TEMPLATE prepared STRATEGY file_copy");
  return name;
}

std::string Postgres::gateway_url(const std::string& database) const {
  return std::string("postgresql://") + role + "@" + escaped(dir_) + "/" + database;
}

std::string Postgres::owner_url(const std::string& database) const {
  return std::string("postgresql://") + user + "@" + escaped(dir_) + "/" + database;
}

}  // namespace trib::test
