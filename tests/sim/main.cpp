// test_sim: runs simulated worlds, one a seed, and says what was not true and how to see it again.
//
//   test_sim [--seeds N] [--from N] [--jobs N] [--list FILE] [--time-max SECONDS]
//   test_sim --seed N [--verbose]
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/sim/world.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*)());
#endif

namespace {

using namespace trib::sim;

struct Sum {
  std::uint64_t seeds = 0, failures = 0;
  std::uint64_t figures[40] = {};
};

char death_note[256];

// An assertion or a sanitizer ends the process: the seed must not be lost with it.
void last_words() {
  const auto ignored = ::write(STDERR_FILENO, death_note, std::strlen(death_note));
  (void)ignored;
}

void on_signal(int number) {
  last_words();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

std::vector<std::pair<const char*, std::uint64_t>> listed(const WorldFigures& f) {
  return {{"requests", f.oracle.requests},     {"completed", f.oracle.completed},    {"cancelled", f.oracle.cancelled},
          {"partial", f.oracle.partial},       {"failed", f.oracle.failed},          {"refused", f.oracle.refused},
          {"recovered", f.oracle.recovered},   {"turned away", f.oracle.turned_away}, {"replays", f.oracle.replays},
          {"attempts", f.oracle.attempts},     {"retries", f.oracle.retried}, {"went on", f.oracle.went_on},        {"cuts seen", f.oracle.cuts},
          {"records", f.oracle.records},       {"records lost", f.oracle.records_lost}, {"lies billed", f.oracle.lies},
          {"kills", f.kills},                  {"power cuts", f.power_cuts},         {"drains", f.drains},
          {"disk faults", f.disk_faults},      {"journal deaths", f.journal_deaths}, {"engine deaths", f.engine_deaths},
          {"agent deaths", f.agent_deaths},    {"clock steps", f.clock_steps},       {"top-ups", f.topups},
          {"prices", f.prices},
          {"links", f.net.links},              {"resets", f.net.resets},             {"stalls", f.net.stalls},
          {"silences", f.net.freezes},         {"dials lost", f.net.lost},           {"dials refused", f.net.refused},
          {"slow readers", f.customers.slow},  {"leavers", f.customers.left},        {"pipelined", f.customers.pipelined},
          {"asked again", f.customers.again},  {"tokens", f.engines.tokens},         {"engine troubles", f.engines.troubled},
          {"steps", f.steps},                  {"virtual s", static_cast<std::uint64_t>(f.virtual_ms) / 1000}};
}

bool run_one(std::uint64_t seed, bool verbose, bool calm, Sum& sum) {
  std::snprintf(death_note, sizeof death_note, "\nseed %llu ended the process; replay: %s\n", static_cast<unsigned long long>(seed), replay_command(seed).c_str());
  WorldOptions options;
  options.seed = seed;
  options.verbose = verbose;
  options.calm = calm;
  World world(options);
  const bool ok = world.run();
  ++sum.seeds;
  const auto figures = world.figures();
  std::size_t i = 0;
  for (const auto& [name, value] : listed(figures)) sum.figures[i++] += value;
  if (verbose) std::printf("digest %016llx\n", static_cast<unsigned long long>(figures.digest));
  if (ok) return true;
  ++sum.failures;
  const auto& failure = world.failure();
  std::printf("seed %llu failed at step %llu, %.3f s: %s: %s\n  replay: %s\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(failure.step), static_cast<double>(failure.at_ms) / 1000.0, failure.rule.c_str(),
              failure.what.c_str(), replay_command(seed).c_str());
  std::fflush(stdout);
  return false;
}

Sum run_all(const std::vector<std::uint64_t>& seeds, unsigned job, unsigned jobs, bool calm) {
  Sum sum;
  for (std::size_t i = job; i < seeds.size() && sum.failures < 10; i += jobs) run_one(seeds[i], false, calm, sum);
  return sum;
}

// Worlds share nothing: the other half runs in a child, which hands back its sums.
Sum run_jobs(const std::vector<std::uint64_t>& seeds, unsigned jobs, bool calm) {
  std::vector<std::pair<pid_t, int>> children;
  for (unsigned job = 1; job < jobs; ++job) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    std::fflush(stdout);
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Sum sum = run_all(seeds, job, jobs, calm);
      const bool told = ::write(ends[1], &sum, sizeof sum) == static_cast<ssize_t>(sizeof sum);
      std::fflush(stdout);
      ::_exit(told ? 0 : 3);
    }
    ::close(ends[1]);
    children.emplace_back(pid, ends[0]);
  }
  Sum sum = run_all(seeds, 0, jobs, calm);
  for (const auto& [pid, end] : children) {
    Sum theirs;
    if (::read(end, &theirs, sizeof theirs) != static_cast<ssize_t>(sizeof theirs)) ++theirs.failures;
    ::waitpid(pid, nullptr, 0);
    sum.seeds += theirs.seeds;
    sum.failures += theirs.failures;
    for (std::size_t i = 0; i < std::size(sum.figures); ++i) sum.figures[i] += theirs.figures[i];
  }
  return sum;
}

void read_list(const char* file, std::vector<std::uint64_t>& seeds) {
  std::ifstream in(file);
  if (!in) {
    std::fprintf(stderr, "%s: cannot be read\n", file);
    std::exit(2);
  }
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t count = 100, from = 1;
  unsigned jobs = 1;
  double seconds_max = 0;
  bool verbose = false, calm = false, one = false;
  std::vector<std::uint64_t> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      if (++i == argc) {
        std::fprintf(stderr, "%s: a value is missing\n", word.c_str());
        std::exit(2);
      }
      return argv[i];
    };
    if (word == "--seeds") count = std::strtoull(value(), nullptr, 10);
    else if (word == "--from") from = std::strtoull(value(), nullptr, 10);
    else if (word == "--jobs") jobs = static_cast<unsigned>(std::max(1, std::atoi(value())));
    else if (word == "--list") read_list(value(), seeds);
    else if (word == "--time-max") seconds_max = std::atof(value());
    else if (word == "--seed") one = true, count = 1, from = std::strtoull(value(), nullptr, 10);
    else if (word == "--verbose") verbose = true;
    else if (word == "--calm") calm = true;
    else {
      std::fprintf(stderr, "%s: unknown. test_sim [--seeds N] [--from N] [--jobs N] [--list FILE] [--time-max S] | --seed N [--verbose]\n", word.c_str());
      return 2;
    }
  }
  for (std::uint64_t i = 0; i < count; ++i) seeds.push_back(from + i);
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(number, on_signal);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(last_words);
#endif
  const auto begun = std::chrono::steady_clock::now();
  Sum sum;
  if (one) run_one(from, verbose, calm, sum);
  else sum = run_jobs(seeds, jobs, calm);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  std::size_t i = 0;
  for (const auto& [name, value] : listed({})) std::printf("%s%s %llu", i == 0 ? "" : i % 8 == 0 ? ",\n" : ", ", name, static_cast<unsigned long long>(sum.figures[i])), ++i;
  std::printf("\n%llu seeds, %llu failures, %.1f s\n", static_cast<unsigned long long>(sum.seeds), static_cast<unsigned long long>(sum.failures), took);
  if (seconds_max > 0 && took > seconds_max) {
    std::printf("slower than %.0f s\n", seconds_max);
    return 1;
  }
  return sum.failures == 0 ? 0 : 1;
}
