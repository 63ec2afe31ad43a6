// A private PostgreSQL for tests: in a folder of its own, on a Unix socket, gone with the process that asked
// for it. Binaries are those of Debian's and Ubuntu's `postgresql`; where this process is root, which the
// server refuses to be, it runs as the user that the package makes.
#pragma once
#include <sys/types.h>

#include <string>

namespace trib::test {

class Postgres {
 public:
  // The one of this process; started at the first call. Nothing is returned when it cannot be: the process ends.
  static Postgres& instance();
  // Whether the tests of this process run on PostgreSQL: TRIBUTARY_TEST_STORE=postgres.
  static bool wanted();
  // With fsync and files that last a benchmark: for tools/bench.
  explicit Postgres(const std::string& dir, bool fsync);
  ~Postgres();
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  const std::string& socket_dir() const { return dir_; }
  std::string make_database();  // empty, but for the tables; its name
  std::string gateway_url(const std::string& database) const;  // of the role that the gateway is
  std::string owner_url(const std::string& database) const;    // a superuser
  pid_t pid() const { return server_; }
  void stop();   // as a crash does: at once
  void start();  // again, over the same data

 private:
  void run_as_server(const std::string& command) const;
  std::string dir_, bin_;
  bool as_other_ = false, fsync_ = false;
  pid_t server_ = -1;
  int databases_ = 0;
};

std::string escaped(const std::string& path);  // as a host in a URL

}  // namespace trib::test
