import { findsPlantedBugs } from "../support/simulation/find-planted.js";

findsPlantedBugs("direct", 2000);
