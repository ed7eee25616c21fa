import { findsPlantedBugs } from "../support/simulation/find-planted.js";

findsPlantedBugs("mixed", 500);
