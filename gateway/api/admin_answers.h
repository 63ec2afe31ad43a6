// The answers of administrative doors; for the files of this room that hold such doors.
#pragma once
#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "gateway/api/doors.h"

namespace trib::api {

inline Answer ok(const boost::json::value& value, int status = 200) { return {status, boost::json::serialize(value) + "\n"}; }

inline Answer error(int status, std::string_view message, std::string_view code = {}) {
  return {status, exchange::error_json(message, exchange::error_type(status), {}, code)};
}

inline boost::json::value text_or_null(const std::string& text) {
  return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
}

}  // namespace trib::api
