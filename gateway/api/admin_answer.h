// How administrative doors answer, and how they read a query. Private to the room.
#pragma once
#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

#include "gateway/api/doors.h"

namespace trib::api {

Answer ok(const boost::json::value& value, int status = 200);
Answer error(int status, std::string_view message, std::string_view code = {});
Answer unreadable(std::string_view why);  // the ledger's store does not tell what was asked
boost::json::value text_or_null(const std::string& text);
std::map<std::string, std::string> read_query(std::string_view query);

}  // namespace trib::api
