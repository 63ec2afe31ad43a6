// `tributary store`: what is done to a store beside a gateway's work: its tables and rights, its move.
#include <unistd.h>

#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/app/commands.h"
#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"

namespace trib::app {
namespace {

constexpr const char* store_words = "store setup STORE [--role NAME] | store copy FROM TO; a store is sqlite:PATH or postgresql://USER@HOST/DATABASE";

// What the ledger takes; empty with what is wrong.
std::string address_of(const std::string& url, std::string& why) {
  constexpr std::string_view file = "sqlite:";
  if (url.compare(0, file.size(), file) == 0 && url.size() > file.size()) return url.substr(file.size());
  if (!ledger::is_postgres(url)) {
    why = "\"" + url.substr(0, url.find(':')) + "\" begins no store; write sqlite:PATH or postgresql://USER@HOST/DATABASE";
    return {};
  }
  why = config::store_url_problem(url);
  if (!why.empty()) why = "the store's URL " + why;
  return why.empty() ? url : std::string();
}

int set_up(const Call& call) {
  std::string why;
  const std::string address = address_of(call.words[2], why);
  const std::string role = call.get("--role").empty() ? "tributary" : call.get("--role");
  if (!why.empty()) return usage(why);
  if (!ledger::set_up(address, role, why)) return failed(why);
  std::cout << ledger::store_name(address) << "  schema version " << ledger::schema_version;
  if (ledger::is_postgres(address)) std::cout << ", for the role " << role;
  std::cout << '\n';
  return 0;
}

int copy(const Call& call) {
  std::string why;
  const std::string from = address_of(call.words[2], why);
  const std::string to = why.empty() ? address_of(call.words[3], why) : std::string();
  if (!why.empty()) return usage(why);
  const bool show = ::isatty(2) != 0;
  std::uint64_t rows = 0;
  const bool copied = ledger::copy_store(from, to, [&](std::uint64_t done, std::uint64_t all) {
    rows = all;
    if (show) std::cerr << "\r" << done << " of " << all << " rows" << (done == all ? "\n" : "") << std::flush;
    return true;
  }, why);
  if (!copied) return failed(why);
  std::cout << ledger::store_name(to) << "  " << rows << " rows; `tributary audit verify --config FILE` checks them against the journal\n";
  return 0;
}

}  // namespace

int store(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "";
  if (what == "setup" && call.words.size() == 3) return set_up(call);
  if (what == "copy" && call.words.size() == 4) return copy(call);
  return takes(store_words);
}

}  // namespace trib::app
