#pragma once

#include "cmesh_rights.h"
