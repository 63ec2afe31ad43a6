// The supply side: sites, their offers, enrolment and the durable register of who is let in.
#pragma once
#include "gateway/fleet/enrolment.h"
#include "gateway/fleet/freeze.h"
#include "gateway/fleet/site_registry.h"
#include "gateway/fleet/sites.h"
