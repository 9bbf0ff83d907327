#include "CMeshBPF.h"
