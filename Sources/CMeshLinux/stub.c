#include "CMeshLinux.h"
