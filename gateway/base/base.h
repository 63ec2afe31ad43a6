// The ground floor: what every room may lean on and what leans on nothing.
#pragma once
#include "gateway/base/assert.h"
#include "gateway/base/clock.h"
#include "gateway/base/disk.h"
#include "gateway/base/fault.h"
#include "gateway/base/hash.h"
#include "gateway/base/id.h"
#include "gateway/base/json.h"
#include "gateway/base/loop.h"
#include "gateway/base/published.h"
#include "gateway/base/rng.h"
#include "gateway/base/timer_wheel.h"
#include "gateway/base/transport.h"
