// What the administrative subcommands share: their words, the question to the gateway, tables for people.
#pragma once
#include <boost/json.hpp>
#include <map>
#include <string>
#include <vector>

#include "gateway/app/client.h"

namespace trib::app {

struct Call {
  std::vector<std::string> words;              // without options
  std::map<std::string, std::string> options;  // "--period" -> value; flags -> "1"
  bool json() const { return options.contains("--json"); }
  std::string get(const std::string& name) const {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
  }
};

int usage(const std::string& why);   // 2, with a pointer to --help
int takes(const std::string& what);  // 2, with what the command takes
int failed(const std::string& why);  // 1

// Status 0 with the reason when there is no gateway, or it does not take the token.
Reply ask_gateway(const Call& call, const std::string& method, const std::string& target, const std::string& body = {});
std::string error_of(const Reply& reply);

std::string cell(const boost::json::value& value);
void print_table(const boost::json::array& rows, const std::vector<std::string>& columns);
void print_value(const boost::json::value& value, const std::string& indent);

// Asks and shows: a list as a table of these columns, anything else as lines.
int show(const Call& call, const std::string& method, const std::string& target, const std::vector<std::string>& columns,
         const std::string& body = {});

// Subcommands in files of their own.
int period_command(const Call& call);
int statement_command(const Call& call);
int ledger_command(const Call& call);
int invoice_command(const Call& call);

}  // namespace trib::app
