// What each path means: the customers' doors, the administrative ones, the sites'.
#pragma once
#include "gateway/api/admin.h"
#include "gateway/api/archive.h"
#include "gateway/api/doors.h"
#include "gateway/api/reload.h"
