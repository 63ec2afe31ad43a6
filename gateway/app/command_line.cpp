#include "gateway/app/command_line.h"

#include <cstdlib>
#include <iostream>

namespace trib::app {
namespace {

namespace bj = boost::json;

std::size_t width_of(const std::string& text) {  // characters, not bytes
  std::size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return n;
}

}  // namespace

int usage(const std::string& why) {
  std::cerr << why << "; see tributary --help" << std::endl;
  return 2;
}

int takes(const std::string& what) { return usage("usage: tributary " + what); }

int failed(const std::string& why) {
  std::cerr << why << std::endl;
  return 1;
}

Reply ask_gateway(const Call& call, const std::string& method, const std::string& target, const std::string& body) {
  std::string url = call.get("--gateway");
  if (url.empty() && std::getenv("TRIBUTARY_URL") != nullptr) url = std::getenv("TRIBUTARY_URL");
  if (url.empty()) url = "http://127.0.0.1:8080";
  const char* const token = std::getenv("TRIBUTARY_ADMIN_TOKEN");
  if (token == nullptr) return {0, "no admin token: set TRIBUTARY_ADMIN_TOKEN to the value the gateway was started with"};
  auto reply = ask(url, token, method, target, body);
  if (reply.status == 401)
    return {0, "the gateway at " + url + " does not take this admin token; set TRIBUTARY_ADMIN_TOKEN to the value it was started with"};
  return reply;
}

std::string error_of(const Reply& reply) {
  if (reply.status == 0) return reply.body;
  boost::system::error_code ec;
  const auto value = bj::parse(reply.body, ec);
  if (!ec && value.is_object()) {
    const auto* const error = value.get_object().if_contains("error");
    if (error != nullptr && error->is_object() && error->get_object().contains("message"))
      return error->get_object().at("message").as_string().c_str();
  }
  return "the gateway answered " + std::to_string(reply.status);
}

std::string cell(const bj::value& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get_string().c_str();
  if (value.is_bool()) return value.get_bool() ? "yes" : "no";
  if (value.is_array()) {
    std::string out;
    for (const auto& item : value.get_array()) out += (out.empty() ? "" : ",") + cell(item);
    return out.empty() ? "-" : out;
  }
  if (value.is_object()) {
    std::string out;
    for (const auto& [key, item] : value.get_object()) out += (out.empty() ? "" : " ") + std::string(key) + "=" + cell(item);
    return out;
  }
  return bj::serialize(value);
}

void print_table(const bj::array& rows, const std::vector<std::string>& columns) {
  std::vector<std::vector<std::string>> cells{{}};
  for (const auto& column : columns) cells[0].push_back(column);
  for (const auto& row : rows) {
    std::vector<std::string> line;
    for (const auto& column : columns) {
      const auto* const value = row.as_object().if_contains(column);
      line.push_back(value == nullptr ? "-" : cell(*value));
    }
    cells.push_back(std::move(line));
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  for (const auto& line : cells)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      std::cout << line[i];
      if (i + 1 < line.size()) std::cout << std::string(widths[i] - width_of(line[i]) + 2, ' ');
    }
    std::cout << '\n';
  }
  if (rows.empty()) std::cout << "(none)\n";
}

void print_value(const bj::value& value, const std::string& indent) {
  for (const auto& [key, item] : value.as_object()) {
    if (item.is_object() && !item.get_object().empty()) {
      std::cout << indent << std::string(key) << ":\n";
      print_value(item, indent + "  ");
    } else if (item.is_array() && !item.get_array().empty() && item.get_array().front().is_object()) {
      std::cout << indent << std::string(key) << ":\n";
      for (const auto& element : item.get_array()) {
        std::cout << indent << "  -\n";
        print_value(element, indent + "    ");
      }
    } else {
      std::cout << indent << std::string(key) << ": " << cell(item) << '\n';
    }
  }
}

// Asks and shows: a list as a table of these columns, anything else as lines.
int show(const Call& call, const std::string& method, const std::string& target, const std::vector<std::string>& columns,
         const std::string& body) {
  const auto reply = ask_gateway(call, method, target, body);
  if (reply.status < 200 || reply.status > 299) return failed(error_of(reply));
  if (call.json()) {
    std::cout << reply.body;
    return 0;
  }
  const auto value = bj::parse(reply.body);
  if (value.is_array()) {
    print_table(value.get_array(), columns);
  } else {
    print_value(value, "");
  }
  return 0;
}

}  // namespace trib::app
